//go:build browser

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"cometctl/server/history"
)

// These tests drive the page at / in a headless Chromium: go test -tags browser -run Browser ./server. Each waits for what the page shows.

// window is a window of the browser, and what it had to complain of.
type window struct {
	ctx  context.Context
	t    *testing.T
	mu   sync.Mutex
	said []string // errors on the console and in the log, exceptions
}

// newBrowser starts a Chromium that ends with the test.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoSandbox) // as root there is none
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("no browser: %v; install Debian's chromium", err)
	}
	return ctx
}

// open opens a window at a URL.
func open(t *testing.T, browser context.Context, url string) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	w := &window{ctx: ctx, t: t}
	if err := chromedp.Do(ctx); err != nil { // not do: the window would end with the first bounded context that it is used with
		t.Fatal(err)
	}
	go func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			w.mu.Lock()
			w.said = append(w.said, m.String())
			w.mu.Unlock()
		}
	}()
	w.do(chromedp.Navigate(url))
	return w
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

// eval is the value of a JavaScript expression.
func eval[T any](w *window, js string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		w.t.Fatalf("%s: %v", js, err)
	}
	return v
}

// await waits until a JavaScript expression is true.
func (w *window) await(js string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](js)); err != nil {
		w.t.Fatalf("waited in vain for %s: %v; the page says %q and shows %q; the browser %q", js, err,
			eval[string](w, `document.getElementById('status').textContent`), w.messages(), w.complaints())
	}
}

func (w *window) loggedIn() {
	w.t.Helper()
	w.await(`document.getElementById('status').dataset.state === 'open'`)
}

// messages are the texts that the page shows, first to last.
func (w *window) messages() []string {
	return eval[[]string](w, `[...document.querySelectorAll('#messages .text')].map(e => e.textContent)`)
}

func (w *window) shows(n int) []string {
	w.t.Helper()
	w.await(fmt.Sprintf(`document.querySelectorAll('#messages li').length >= %d`, n))
	return w.messages()
}

func (w *window) complaints() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.said...)
}

// quiet checks that the browser had nothing to complain of.
func (w *window) quiet() {
	w.t.Helper()
	if c := w.complaints(); len(c) > 0 {
		w.t.Errorf("the browser complains: %q", c)
	}
}

// say sends a message from outside of the browser.
func say(t *testing.T, s *Server, id, msg string) {
	t.Helper()
	resp, err := http.Post(fmt.Sprintf("http://%s/send/%s", s.Admin(), id), "text/plain", strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var l Ledger
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil || resp.StatusCode != 200 {
		t.Fatalf("sending %q to %s: %s, %v", msg, id, resp.Status, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

var ways = []string{"sse", "ws", "fetch"}

// eachWay runs a test once for each way of the page to log in.
func eachWay(t *testing.T, f func(t *testing.T, browser context.Context, via string)) {
	browser := newBrowser(t)
	for _, via := range ways {
		t.Run(via, func(t *testing.T) { f(t, browser, via) })
	}
}

func pageURL(s *Server, ids, via string) string {
	return fmt.Sprintf("http://%s/#ids=%s&via=%s", s.Comet(), ids, via)
}

// Two windows under one id both receive, however they have logged in, and so does one under two ids.
func TestBrowserTwoWindows(t *testing.T) {
	eachWay(t, func(t *testing.T, browser context.Context, via string) {
		s := start(t, Config{})
		windows := []*window{open(t, browser, pageURL(s, "42", via)), open(t, browser, pageURL(s, "42", via)), open(t, browser, pageURL(s, "7,42", via))}
		for _, w := range windows {
			w.loggedIn()
		}
		say(t, s, "42", "to both\nin two lines")
		say(t, s, "7", "to the third")
		for i, w := range windows {
			want := []string{"to both\nin two lines"}
			if i == 2 {
				want = append(want, "to the third")
			}
			if got := w.shows(len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("window %d shows %q, want %q", i, got, want)
			}
			w.quiet()
		}
	})
}

// Markup in a message is text.
func TestBrowserMarkupIsText(t *testing.T) {
	eachWay(t, func(t *testing.T, browser context.Context, via string) {
		s := start(t, Config{})
		w := open(t, browser, pageURL(s, "42", via))
		w.loggedIn()
		scripts := eval[int](w, `document.scripts.length`)
		markup := `<script>window.pwned = 1</script><img src=x onerror="window.pwned = 2"> & 'quoted' "twice"`
		say(t, s, "42", markup)
		if got := w.shows(1); got[0] != markup {
			t.Errorf("the page shows %q", got)
		}
		say(t, s, "42", "after it") // so that what the first would have run has run
		w.shows(2)
		if eval[bool](w, `'pwned' in window`) || eval[int](w, `document.scripts.length`) != scripts || eval[int](w, `document.images.length`) != 0 {
			t.Error("markup of a message became part of the page")
		}
		w.quiet()
	})
}

// The page comes back to a server that was started again, and to one that had kept what it missed.
func TestBrowserServerRestart(t *testing.T) {
	eachWay(t, func(t *testing.T, browser context.Context, via string) {
		s := start(t, Config{DrainTimeout: patience})
		w := open(t, browser, pageURL(s, "42", via))
		w.loggedIn()
		say(t, s, "42", "before")
		w.shows(1)
		addr := s.Comet()
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		w.await(`document.getElementById('status').dataset.state === 'waiting'`)
		again := startAt(t, addr)
		w.loggedIn()
		say(t, again, "42", "after")
		w.await(`[...document.querySelectorAll('#messages .text')].some(e => e.textContent === 'after')`)
		if got := w.messages(); got[0] != "before" || got[len(got)-1] != "after" {
			t.Errorf("the page shows %q", got)
		}
	})
}

// startAt is start on an address that was in use just now.
func startAt(t *testing.T, addr netip.AddrPort) *Server {
	t.Helper()
	s, err := New(Config{Listen: addr.String(), Admin: "127.0.0.1:0", Loops: 2, MaxConns: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What was sent while the page was away is there when it is back: the history has it.
func TestBrowserResumes(t *testing.T) {
	eachWay(t, func(t *testing.T, browser context.Context, via string) {
		s := start(t, Config{History: history.Config{Messages: 100}, Retry: time.Second})
		w := open(t, browser, pageURL(s, "42", via))
		w.loggedIn()
		say(t, s, "42", "first")
		w.shows(1)
		// Nobody comes back yet: by EventSource not for Retry, otherwise not until it is let go.
		eval[bool](w, `window.held = [], window.setTimeout = (f) => { held.push(f); return 0 }, true`)
		req, err := http.NewRequest("DELETE", fmt.Sprintf("http://%s/who/42", s.Admin()), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		until(t, "nobody is logged in", func() bool { return s.Stats().Router.Sessions == 0 })
		say(t, s, "42", "missed")
		if via != "sse" {
			w.await(`held.length > 0`)
			eval[bool](w, `held.forEach(f => f()), true`)
		}
		if got := w.shows(2); fmt.Sprint(got) != "[first missed]" {
			t.Errorf("the page shows %q", got)
		}
	})
}

// The page sends through the admin listener that allows it, and says what to do about one that does not.
func TestBrowserSends(t *testing.T) {
	browser := newBrowser(t)
	send := func(w *window, admin, msg string) {
		eval[bool](w, fmt.Sprintf(`document.getElementById('admin').value = %q, document.getElementById('text').value = %q,
			document.getElementById('sent').textContent = '', document.querySelector('#send button').click(), true`, admin, msg))
		w.await(`document.getElementById('sent').textContent !== ''`)
	}
	s := start(t, Config{})
	w := open(t, browser, pageURL(s, "42", "sse"))
	w.loggedIn()
	send(w, "http://"+s.Admin().String(), "refused")
	if said := eval[string](w, `document.getElementById('sent').textContent`); !strings.Contains(said, "--allow-origin") {
		t.Errorf("of a listener that does not allow it, the page says %q", said)
	}
	listen := s.Comet()
	s.Close()

	allowed, err := New(Config{Listen: listen.String(), Admin: "127.0.0.1:0", Loops: 2, MaxConns: 1000, AllowOrigin: []string{"http://" + listen.String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer allowed.Close()
	w = open(t, browser, pageURL(allowed, "42", "sse"))
	w.loggedIn()
	admin := eval[string](w, `document.getElementById('admin').value`)
	if admin != "http://"+allowed.Admin().String() {
		t.Errorf("the page knows the admin listener as %q", admin)
	}
	send(w, admin, "from the page")
	if got := w.shows(1); got[0] != "from the page" {
		t.Errorf("the page shows %q", got)
	}
	if said := eval[string](w, `document.getElementById('sent').textContent`); said != "Sent to 1 sessions." {
		t.Errorf("the page says %q", said)
	}
	w.quiet()
}

// On a narrow screen nothing sticks out.
func TestBrowserNarrow(t *testing.T) {
	s := start(t, Config{})
	w := open(t, newBrowser(t), pageURL(s, "42", "sse"))
	w.do(chromedp.EmulateViewport(400, 700))
	w.loggedIn()
	say(t, s, "42", strings.Repeat("word", 200))
	w.shows(1)
	if width := eval[int](w, `document.documentElement.scrollWidth`); width > 400 {
		t.Errorf("the page is %d wide on a screen of 400", width)
	}
}
