package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cometctl/internal/netloop"
)

// patience bounds every wait of a test. Only a test that fails reaches it.
const patience = 20 * time.Second

// eachEngine runs a test once per engine that this system has.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, e := range netloop.Engines() {
		t.Run(e, func(t *testing.T) { f(t, e) })
	}
}

// start runs a server on free ports until the test ends. Fields that cfg leaves zero are small ones here.
func start(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.Listen, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
	def(&cfg.Loops, 2)
	def(&cfg.MaxConns, 1000)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// until waits for something that another goroutine will bring about.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond / 2) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// sums are c without what is counted by cause and kind.
func sums(c ConnStats) ConnStats {
	c.By, c.RefusedBy, c.ClosedBy = Census{}, Causes{}, Causes{}
	return c
}

// inLoops runs f in a turn of every loop, one after another.
func inLoops(s *Server, f func(l netloop.Loop, fl *frontLoop)) {
	for i := range s.Loops() {
		done := make(chan bool)
		go s.engine.Do(i, func(l netloop.Loop) { f(l, s.loops[i]); close(done) })
		<-done
	}
}

// partials is the number of request heads that have not come whole, and their bytes.
func partials(s *Server) (n, bytes int) {
	inLoops(s, func(_ netloop.Loop, fl *frontLoop) {
		for _, p := range fl.partials {
			n++
			bytes += len(p.buf)
		}
	})
	return n, bytes
}

// browser is a connection to the comet listener.
type browser struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, s *Server) *browser {
	t.Helper()
	return dialTo(t, s.Comet().String(), 0)
}

// dialTo connects. With a window, it is the most that the client's kernel takes before the client reads.
func dialTo(t testing.TB, addr string, window int) *browser {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		if window == 0 {
			return nil
		}
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = setWindow(fd, window) }), err)
	}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &browser{nc.(*net.TCPConn), t, bufio.NewReader(nc)}
}

func (c *browser) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// rest reads until the server ends the connection.
func (c *browser) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

// reset ends the connection with a RST.
func (c *browser) reset() {
	c.SetLinger(0)
	c.Close()
}

const hostLine = "Host: localhost\r\n\r\n"

// stream asks for id's stream and reads the response's head.
func (c *browser) stream(id string) *browser {
	c.t.Helper()
	c.say("GET /test/" + id + " HTTP/1.1\r\n" + hostLine)
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
		c.t.Fatalf("asked for a stream and got %q", head)
	}
	return c
}

// head reads a head, its empty line included.
func (c *browser) head() string {
	c.t.Helper()
	var head strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			c.t.Fatalf("after %q: %v", head.String(), err)
		}
		if line == "\r\n" {
			return head.String()
		}
	}
}

// chunk reads a chunk and returns its data, "" for the last one. It may be called on any goroutine.
func (c *browser) chunk() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
	if err != nil {
		return "", fmt.Errorf("chunk size %q: %w", line, err)
	}
	data := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, data); err != nil {
		return "", err
	}
	if string(data[n:]) != "\r\n" {
		return "", fmt.Errorf("chunk of %d bytes ends with %q", n, data[n:])
	}
	return string(data[:n]), nil
}

// message reads a chunk, checks its number, and returns its text.
func (c *browser) message(number int) (string, error) {
	chunk, err := c.chunk()
	if err != nil || chunk == "" {
		return "", err
	}
	text, ok := strings.CutPrefix(chunk, fmt.Sprintf("Recvd msg #%d: '", number))
	text, ok2 := strings.CutSuffix(text, "'<br/>")
	if !ok || !ok2 {
		return "", fmt.Errorf("chunk %.100q is not message %d", chunk, number)
	}
	return text, nil
}

// wantMessage fails unless the next chunk is that message.
func (c *browser) wantMessage(number int, text string) {
	c.t.Helper()
	if got, err := c.message(number); err != nil || got != text {
		c.t.Errorf("message %d: got %.100q, %v, want %.100q", number, got, err, text)
	}
}

// answer is what the admin listener said.
type answer struct {
	status int
	header http.Header
	body   string
}

// admin sends a request to the admin listener.
func admin(t testing.TB, s *Server, method, path, contentType string, body io.Reader) answer {
	t.Helper()
	a, err := askAdmin(s, method, path, contentType, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// askAdmin is admin for other goroutines than the test's.
func askAdmin(s *Server, method, path, contentType string, body io.Reader) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Admin().String()+path, body)
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := adminClient().Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// adminClient opens a connection for each request, so that nothing of it is left behind.
var adminClient = sync.OnceValue(func() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
})

// publish sends a stream of tab-separated lines and returns the totals.
func publish(t testing.TB, s *Server, lines string) totals {
	t.Helper()
	a := admin(t, s, "POST", "/send", "text/tab-separated-values", strings.NewReader(lines))
	if a.status != 200 {
		t.Fatalf("POST /send: %d %s", a.status, a.body)
	}
	return totalsOf(t, a)
}

func totalsOf(t testing.TB, a answer) (sum totals) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &sum); err != nil {
		t.Fatalf("totals %q: %v", a.body, err)
	}
	return sum
}

// wantLedger waits until the ledger is want; Delivered may come a moment after the bytes.
func wantLedger(t *testing.T, s *Server, want Ledger) {
	t.Helper()
	var got Ledger
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond / 2) {
		if got = s.Stats().Ledger; got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("ledger %+v, want %+v", got, want)
		}
	}
}
