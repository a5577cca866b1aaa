package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	token1 = "the-first-token-0123456789"
	token2 = "the-other-token-0123456789"
)

// tokenFile writes a file that only we may read.
func tokenFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// as sends a request with these fields, "Name: value", to the admin listener. Host is one of them.
func as(t testing.TB, s *Server, method, path, body string, fields ...string) answer {
	t.Helper()
	var in io.Reader // nil: there is no body at all
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Admin().String()+path, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	}
	resp, err := adminClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func TestToken(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, AdminTokenFile: tokenFile(t, token1+"\n"+token2+"\n")})
		paths := []struct{ method, path, body string }{{"POST", "/send/1", "x"}, {"POST", "/send", "1\tx\n"}, {"GET", "/stats", ""}, {"GET", "/metrics", ""},
			{"POST", "/gc", ""}, {"GET", "/debug/pprof/", ""}, {"GET", "/debug/pprof/cmdline", ""}}
		for _, c := range []struct {
			fields    []string
			status    int
			challenge string
		}{
			{nil, 401, `Bearer realm="cometctl admin"`},
			{[]string{"Authorization: " + token1}, 401, `Bearer realm="cometctl admin"`},
			{[]string{"Authorization: Basic " + token1}, 401, `Bearer realm="cometctl admin"`},
			{[]string{"Authorization: Bearer "}, 401, `Bearer realm="cometctl admin"`},
			{[]string{"Authorization: Bearer " + token1[1:]}, 401, `Bearer realm="cometctl admin", error="invalid_token"`},
			{[]string{"Authorization: Bearer " + token1 + token2}, 401, `Bearer realm="cometctl admin", error="invalid_token"`},
			{[]string{"Authorization: Bearer " + token1, "Authorization: Bearer " + token1}, 401, `Bearer realm="cometctl admin"`},
			{[]string{"Authorization: Bearer " + token1}, 200, ""},
			{[]string{"Authorization: bearer  " + token2}, 200, ""},
			{[]string{"Authorization: Bearer " + token1, "Host: anywhere.example"}, 200, ""},
		} {
			for _, p := range paths {
				a := as(t, s, p.method, p.path, p.body, c.fields...)
				if a.status != c.status || a.header.Get("WWW-Authenticate") != c.challenge || strings.Contains(a.body, "token-0") {
					t.Errorf("%s %s as %q: %d %q %.100q, want %d %q", p.method, p.path, c.fields, a.status, a.header.Get("WWW-Authenticate"), a.body, c.status, c.challenge)
				}
			}
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			if a := as(t, s, "GET", path, ""); a.status != 200 || a.body != "ok\n" {
				t.Errorf("%s without a token: %d %q", path, a.status, a.body)
			}
		}
		if a := as(t, s, "GET", "/clock", ""); a.status != 200 {
			t.Errorf("/clock without a token: %d %q", a.status, a.body)
		}
		for _, path := range []string{"/healthz/", "/clock/", "/nosuch", "//healthz", "/debug/../stats"} {
			if a := as(t, s, "GET", path, ""); a.status != 401 {
				t.Errorf("%s without a token: %d %q", path, a.status, a.body)
			}
		}
		if l := s.Stats().Ledger; l.Sent != 6 {
			t.Errorf("%+v were sent; those without a token shall not be", l)
		}
	})
}

// Who has no token is told so at once, though its stream never ends.
func TestTokenMissingFromStream(t *testing.T) {
	s := start(t, Config{AdminTokenFile: tokenFile(t, token1)})
	b := dialTo(t, s.Admin().String(), 0)
	b.say("POST /send HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + hostLine + "4\r\n1\tx\n\r\n")
	if head := b.head(); !strings.HasPrefix(head, "HTTP/1.1 401 ") {
		t.Errorf("%q", head)
	}
}

func TestReloadTokens(t *testing.T) {
	var log strings.Builder
	path := tokenFile(t, token1)
	s := start(t, Config{AdminTokenFile: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
	try := func(want1, want2 int) {
		t.Helper()
		for token, want := range map[string]int{token1: want1, token2: want2} {
			if a := as(t, s, "GET", "/stats", "", "Authorization: Bearer "+token); a.status != want {
				t.Errorf("%s: %d, want %d", token, a.status, want)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try(200, 401)
	write(token2 + "\n" + token1)
	try(200, 401)
	s.Reload()
	try(200, 200)
	write("short")
	if err := s.Reload(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "a token of 5 bytes") {
		t.Errorf("a file that is broken: %v", err)
	}
	try(200, 200)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.Reload()
	try(200, 200)
	write(token2)
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
	try(401, 200)
	s.Close() // nobody logs any more
	if got := log.String(); strings.Count(got, "the old ones stay in use") != 2 || !strings.Contains(got, "a token of 5 bytes can be guessed") ||
		!strings.Contains(got, "no such file") && os.PathSeparator == '/' || strings.Contains(got, token1) || strings.Contains(got, token2) {
		t.Errorf("the log is\n%s", got)
	}
	if err := start(t, Config{}).Reload(); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
}

// Without a token, a page of elsewhere gets nothing done, whatever name it came by.
func TestPagesWithoutToken(t *testing.T) {
	s := start(t, Config{})
	own := s.Admin().String()
	port := own[strings.LastIndexByte(own, ':'):]
	for _, c := range []struct {
		fields []string
		status int
	}{
		{nil, 200},
		{[]string{"Host: localhost"}, 200},
		{[]string{"Host: LOCALHOST" + port}, 200},
		{[]string{"Host: 127.0.0.1:1"}, 200},
		{[]string{"Host: 127.8.9.10"}, 200},
		{[]string{"Host: [::1]" + port}, 200},
		{[]string{"Host: [::1]"}, 200},
		{[]string{"Host: rebound.example" + port}, 421},
		{[]string{"Host: localhost.example"}, 421},
		{[]string{"Host: 127.0.0.1.example"}, 421},
		{[]string{"Host: 10.0.0.1"}, 421},
		{[]string{"Host: 0.0.0.0" + port}, 421},
		{[]string{"Host: rebound.example" + port, "Origin: http://rebound.example" + port}, 421},
		{[]string{"Origin: http://" + own}, 200},
		{[]string{"Origin: https://" + own}, 200},
		{[]string{"Origin: http://127.0.0.1:1"}, 403},
		{[]string{"Origin: http://elsewhere.example"}, 403},
		{[]string{"Origin: null"}, 403},
		{[]string{"Origin: "}, 403},
		{[]string{"Origin: http://" + own, "Origin: http://" + own}, 403},
	} {
		a := as(t, s, "POST", "/send/1", "x", append(c.fields, "Content-Type: text/plain")...)
		if a.status != c.status || a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Vary") != "" {
			t.Errorf("%q: %d %v %q, want %d", c.fields, a.status, a.header, a.body, c.status)
		}
	}
	b := dialTo(t, own, 0)
	b.say("GET /healthz HTTP/1.0\r\n\r\n")
	if head := b.head(); !strings.HasPrefix(head, "HTTP/1.0 200 ") {
		t.Errorf("HTTP/1.0: %q", head)
	}
	named := start(t, Config{Admin: "localhost:0"})
	if a := as(t, named, "GET", "/healthz", "", "Host: localhost"); a.status != 200 {
		t.Errorf("by the name that it was given: %d", a.status)
	}
}

func TestCORS(t *testing.T) {
	const page = "https://page.example"
	s := start(t, Config{AdminTokenFile: tokenFile(t, token1), AllowOrigin: []string{"http://other.example:8080", page}})
	const allowed = "Authorization: Bearer " + token1
	for _, c := range []struct {
		what           string
		method         string
		fields         []string
		status         int
		allow, methods string
	}{
		{"a preflight, which has no token", "OPTIONS", []string{"Origin: " + page, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"}, 204, page, "GET, POST, DELETE"},
		{"the other origin's", "OPTIONS", []string{"Origin: http://other.example:8080", "Access-Control-Request-Method: DELETE"}, 204, "http://other.example:8080", "GET, POST, DELETE"},
		{"a page's that is not named", "OPTIONS", []string{"Origin: http://page.example", "Access-Control-Request-Method: POST"}, 403, "", ""},
		{"another port's", "OPTIONS", []string{"Origin: " + page + ":444", "Access-Control-Request-Method: POST"}, 403, "", ""},
		{"no preflight", "OPTIONS", []string{"Origin: " + page, allowed}, 405, page, ""},
		{"a page with a token", "POST", []string{"Origin: " + page, allowed}, 200, page, ""},
		{"a page without", "POST", []string{"Origin: " + page}, 401, page, ""},
		{"another page with a token", "POST", []string{"Origin: https://page.example.evil", allowed}, 403, "", ""},
		{"no page", "POST", []string{allowed}, 200, "", ""},
	} {
		body := ""
		if c.method == "POST" {
			body = "x"
		}
		a := as(t, s, c.method, "/send/1", body, c.fields...)
		h := a.header
		if a.status != c.status || h.Get("Access-Control-Allow-Origin") != c.allow || h.Get("Access-Control-Allow-Methods") != c.methods || h.Get("Vary") != "Origin" ||
			(c.methods != "") != (h.Get("Access-Control-Allow-Headers") == "Authorization, Content-Type") || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v %q", c.what, a.status, h, a.body)
		}
	}
	all := start(t, Config{AdminTokenFile: tokenFile(t, token1), AllowOrigin: []string{"*"}})
	if a := as(t, all, "POST", "/send/1", "x", "Origin: null", allowed); a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "null" {
		t.Errorf("all pages may: %d %v", a.status, a.header)
	}
}

// Bodies and streams under impatience: what dawdles is cut, a publisher that has nothing to say is not, and neither is a profile.
func TestAdminPatience(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, adminTimes: adminTimes{body: 50 * time.Millisecond, answer: patience, idle: 50 * time.Millisecond}})
		stream := dialTo(t, s.Admin().String(), 0)
		stream.say("POST /send HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + hostLine + "4\r\n1\tx\n\r\n")
		plain := dialTo(t, s.Admin().String(), 0)
		plain.say("POST /send HTTP/1.1\r\nContent-Length: 8\r\n" + hostLine + "1\tx\n")

		idle := dialTo(t, s.Admin().String(), 0)
		idle.say("GET /healthz HTTP/1.1\r\n" + hostLine)
		for _, request := range []string{"POST /send/1", "GET /stats", "POST /nosuch", "PUT /send"} {
			slow := dialTo(t, s.Admin().String(), 0)
			slow.say(request + " HTTP/1.1\r\nContent-Length: 100\r\n" + hostLine + "slow")
			head := slow.head()
			if want := map[string]string{"POST /send/1": "408", "GET /stats": "200", "POST /nosuch": "404", "PUT /send": "405"}[request]; !strings.HasPrefix(head, "HTTP/1.1 "+want) {
				t.Errorf("%s with a slow body: %q, want %s", request, head, want)
			}
			slow.rest() // the connection ends
		}
		idle.head()
		idle.rest()

		// By now the first two have been silent for longer than anybody else may be.
		stream.say("4\r\n1\ty\n\r\n0\r\n\r\n")
		plain.say("1\ty\n")
		for _, b := range []*browser{stream, plain} {
			if head := b.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Errorf("the stream: %q", head)
			}
		}
		if l := s.Stats().Ledger; l.Sent != 4 {
			t.Errorf("%+v", l)
		}
	})
}

// Who asks and asks and takes no answer is cut.
func TestAdminUnreadAnswers(t *testing.T) {
	s := start(t, Config{adminTimes: adminTimes{answer: 20 * time.Millisecond}})
	b := dialTo(t, s.Admin().String(), 4096)
	var err error
	for err == nil { // patience is its deadline
		_, err = io.WriteString(b, "GET /debug/pprof/goroutine?debug=2 HTTP/1.1\r\n"+hostLine)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after %v it is still served: %v", patience, err)
	}
}

// An answer that takes longer to make than to be taken arrives.
func TestAdminLongAnswer(t *testing.T) {
	s := start(t, Config{adminTimes: adminTimes{answer: 50 * time.Millisecond, body: 50 * time.Millisecond}})
	a := as(t, s, "GET", "/debug/pprof/trace?seconds=0.2", "")
	if a.status != 200 || !strings.HasPrefix(a.body, "go 1.") {
		t.Errorf("%d %.40q", a.status, a.body)
	}
}

// Bytes that come keep a body alive beyond its first patience.
func TestTimedBody(t *testing.T) {
	until := time.Now()
	var set []time.Time
	w := &deadlines{read: func(at time.Time) { set = append(set, at) }}
	b := &timedBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", 3*bodyRate))), control: http.NewResponseController(w), until: until}
	buf := make([]byte, 2*bodyRate)
	for _, want := range []time.Time{until.Add(2 * time.Second), until.Add(3 * time.Second), {}} {
		_, err := b.Read(buf)
		if got := set[len(set)-1]; !got.Equal(want) || (err == io.EOF) != want.IsZero() {
			t.Errorf("deadline %v, %v, want %v", got, err, want)
		}
	}
}

// Short reads add up, and are not worth a deadline each.
func TestTimedBodyInPieces(t *testing.T) {
	until := time.Now()
	var set []time.Time
	w := &deadlines{read: func(at time.Time) { set = append(set, at) }}
	b := &timedBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", 4*bodyRate))), control: http.NewResponseController(w), until: until}
	for range 12 {
		if _, err := b.Read(make([]byte, bodyRate/4)); err != nil {
			t.Fatal(err)
		}
	}
	if len(set) != 3 || !set[2].Equal(until.Add(3*time.Second)) {
		t.Errorf("deadlines %v after %v", set, until)
	}
}

// deadlines is a ResponseWriter of which only the deadlines of reads are looked at.
type deadlines struct {
	http.ResponseWriter
	read func(time.Time)
}

func (d *deadlines) SetReadDeadline(at time.Time) error { d.read(at); return nil }

func TestAdminConfig(t *testing.T) {
	file := tokenFile(t, token1)
	open := tokenFile(t, token1)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "nosuch")
	for _, c := range []struct {
		cfg  Config
		says []string // nil: it is fine
	}{
		{Config{}, nil},
		{Config{Admin: "localhost:0"}, nil},
		{Config{Admin: "[::1]:0"}, nil},
		{Config{Admin: "127.1.2.3:0"}, nil},
		{Config{Admin: "0.0.0.0:0", AdminTokenFile: file}, nil},
		{Config{Admin: "192.0.2.1:8001", AdminTokenFile: file}, nil},
		{Config{Admin: "0.0.0.0:8001", NoAdmin: true}, nil},
		{Config{AdminTokenFile: missing, NoAdmin: true}, nil},
		{Config{AllowOrigin: []string{"*"}, NoAdmin: true}, nil},
		{Config{AllowOrigin: []string{"*"}, AdminTokenFile: file}, nil},
		{Config{AllowOrigin: []string{"https://a.example", "http://[::1]:8000", "capacitor://localhost", "http://127.0.0.1:8000"}}, nil},
		{Config{Admin: ":8001"}, []string{"--admin :8001 is no loopback address", "give --admin-token-file"}},
		{Config{Admin: "0.0.0.0:8001"}, []string{"--admin 0.0.0.0:8001 ", "--admin-token-file"}},
		{Config{Admin: "[::]:8001"}, []string{"--admin [::]:8001 ", "--admin-token-file"}},
		{Config{Admin: "192.0.2.1:8001"}, []string{"--admin 192.0.2.1:8001 ", "--admin-token-file"}},
		{Config{AdminTokenFile: missing}, []string{"--admin-token-file " + missing + ": ", "openssl rand"}},
		{Config{AdminTokenFile: tokenFile(t, "")}, []string{"--admin-token-file ", "empty"}},
		{Config{AdminTokenFile: tokenFile(t, "secret")}, []string{"--admin-token-file ", "6 bytes"}},
		{Config{AllowOrigin: []string{"*"}}, []string{`--allow-origin "*"`, "--admin-token-file"}},
		{Config{AllowOrigin: []string{"null"}}, []string{`--allow-origin "null"`}},
		{Config{AllowOrigin: []string{"https://a.example", ""}}, []string{`--allow-origin ""`}},
		{Config{AllowOrigin: []string{"a.example"}}, []string{`--allow-origin "a.example"`, "scheme://host"}},
		{Config{AllowOrigin: []string{"a.example:80"}}, []string{`--allow-origin "a.example:80"`}},
		{Config{AllowOrigin: []string{"https://"}}, []string{`--allow-origin "https://"`}},
		{Config{AllowOrigin: []string{"https://:443"}}, []string{`--allow-origin "https://:443"`}},
		{Config{AllowOrigin: []string{"https://a.example/"}}, []string{`--allow-origin "https://a.example/"`, "ends with its host or port"}},
		{Config{AllowOrigin: []string{"https://a.example?"}}, []string{"ends with its host"}},
		{Config{AllowOrigin: []string{"https://a.example#"}}, []string{"ends with its host"}},
		{Config{AllowOrigin: []string{"https://u@a.example"}}, []string{"ends with its host"}},
		{Config{AllowOrigin: []string{"https://*.example"}}, []string{`--allow-origin "https://*.example"`}},
		{Config{AllowOrigin: []string{"https://a.example,https://b.example"}}, []string{"--allow-origin "}},
		{Config{AllowOrigin: []string{"https://a.example\r\n"}}, []string{"--allow-origin "}},
	} {
		asked := fmt.Sprintf("%q %q %q", c.cfg.Admin, c.cfg.AdminTokenFile, c.cfg.AllowOrigin)
		err := c.cfg.setDefaults()
		if (err == nil) != (c.says == nil) || err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", asked, err)
		}
		for _, words := range c.says {
			if err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %q does not say %q", asked, err, words)
			}
		}
	}
	if open := (Config{AdminTokenFile: open}); os.PathSeparator == '/' {
		if err := open.setDefaults(); err == nil || !strings.Contains(err.Error(), "mode 0644") {
			t.Errorf("a file that all may read: %v", err)
		}
	}
}

// A token that everybody on the way can read is worth a word, and so is who comes without.
func TestTokenWarnings(t *testing.T) {
	var log strings.Builder
	told := slog.New(slog.NewTextHandler(&log, nil))
	file := tokenFile(t, token1)
	for admin, want := range map[string]int{"127.0.0.1:0": 0, "localhost:0": 0, "0.0.0.0:0": 1, "192.0.2.1:8001": 1} {
		log.Reset()
		cfg := Config{Admin: admin, AdminTokenFile: file, Log: told}
		if err := cfg.setDefaults(); err != nil || strings.Count(log.String(), "plain HTTP") != want {
			t.Errorf("%s: %v, and the log is %q", admin, err, log.String())
		}
	}
	log.Reset()
	s := start(t, Config{AdminTokenFile: file, Log: told})
	as(t, s, "GET", "/stats", "")
	as(t, s, "GET", "/stats", "", "Authorization: Bearer "+token2)
	as(t, s, "GET", "/stats", "", "Authorization: Bearer "+token1)
	s.Close() // nobody logs any more
	if got := log.String(); strings.Count(got, "no token that is known") != 2 || !strings.Contains(got, "path=/stats token=true") || !strings.Contains(got, "peer=127.0.0.1:") ||
		strings.Contains(got, token2) {
		t.Errorf("the log is %q", got)
	}
}

// What is written in another way than browsers do is what they mean.
func TestOriginForms(t *testing.T) {
	given := []string{"HTTPS://A.Example:443", "http://b.example:80", "http://c.example:443", "http://[::1]:8000"}
	cfg := Config{AllowOrigin: given}
	if err := cfg.setDefaults(); err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{"https://a.example": true, "http://b.example": true, "http://c.example:443": true, "http://[::1]:8000": true,
		"http://a.example": false, "https://a.example:443": false, "https://a.example.": false, "": false, "null": false} {
		if cfg.allowsOrigin([]byte(origin)) != want {
			t.Errorf("%q is allowed: %t", origin, !want)
		}
	}
	if given[0] != "HTTPS://A.Example:443" {
		t.Error("the caller's list was changed")
	}
	origin := []byte("http://[::1]:8000")
	if n := testing.AllocsPerRun(100, func() { cfg.allowsOrigin(origin) }); n != 0 {
		t.Errorf("asking allocates %v times", n)
	}
}

// FuzzAllowOrigin holds that an origin which is taken stands for itself, and is one that a header can carry.
func FuzzAllowOrigin(f *testing.F) {
	for _, o := range []string{"https://a.example", "HTTP://A:80", "http://[::1]:8000", "*", "null", "http://a b", "http://a/", "x://%41"} {
		f.Add(o)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		cfg := Config{AllowOrigin: []string{origin}}
		if cfg.checkOrigins() != nil {
			return
		}
		once := cfg.AllowOrigin[0]
		if once == anyOrigin || strings.ContainsAny(once, " \t\r\n,*") || !strings.Contains(once, "://") {
			t.Errorf("%q is taken as %q", origin, once)
		}
		if err := cfg.checkOrigins(); err != nil || cfg.AllowOrigin[0] != once { // as a worker does
			t.Errorf("%q is taken as %q, and that as %q, %v", origin, once, cfg.AllowOrigin[0], err)
		}
	})
}
