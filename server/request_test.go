package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// response reads a whole response to a GET.
func (c *browser) response() (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(body)
}

// Responses that have an end leave the connection to the next request, if both sides want it so.
func TestKeepAlive(t *testing.T) {
	for _, c := range []struct {
		request string // of GET /nope
		goesOn  bool
		says    string // Connection field of the answer
	}{
		{"HTTP/1.1\r\nHost: x\r\n\r\n", true, ""},
		{"HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", true, ""},
		{"HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, Close\r\n\r\n", false, "close"},
		{"HTTP/1.0\r\n\r\n", false, "close"},
		{"HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, "keep-alive"},
		{"HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, "close"},
	} {
		eachEngine(t, func(t *testing.T, engine string) {
			s := start(t, Config{Engine: engine})
			b := dial(t, s)
			for range 3 {
				b.say("GET /nope " + c.request)
				resp, body := b.response()
				says := resp.Header.Get("Connection")
				if resp.Close { // net/http takes the field out
					says = "close"
				}
				if resp.StatusCode != 404 || !strings.Contains(body, "Not found") || says != c.says || resp.Header.Get("Date") == "" {
					t.Errorf("%q: %d %q, Connection %q, want %q", c.request, resp.StatusCode, body, says, c.says)
				}
				if !c.goesOn {
					if rest := b.rest(); rest != "" {
						t.Errorf("%q: %q follows", c.request, rest)
					}
					return
				}
			}
			b.stream("1") // the connection may become a session in the end
			publish(t, s, "1\tstill here\n")
			b.wantMessage(1, "still here")
			if st := s.Stats().Conns; st.Accepted != 1 || st.NotFound != 3 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A connection that waits for its next request for too long is ended without a word; one that has begun it is told.
func TestKeptTooLong(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, KeepAlive: 10 * time.Millisecond, HeadTimeout: patience})
		b := dial(t, s)
		b.say("GET /nope HTTP/1.1\r\n" + hostLine)
		b.response()
		if rest := b.rest(); rest != "" {
			t.Errorf("%q", rest)
		}
		until(t, "counted", func() bool { return s.counts.closed[causeIdleTimeout].Load() == 1 })

		s = start(t, Config{Engine: engine, KeepAlive: patience, HeadTimeout: 100 * time.Millisecond})
		b = dial(t, s)
		b.say("GET /nope HTTP/1.1\r\n" + hostLine)
		b.response()
		b.say("GET /nope HT")
		if rest := b.rest(); !strings.HasPrefix(rest, "HTTP/1.1 408 ") {
			t.Errorf("%q", rest)
		}
		until(t, "counted", func() bool { return s.counts.refused[causeHeadTimeout].Load() == 1 })
	})
}

// Requests that come before earlier ones have their answers are answered in their order, however they are cut.
func TestPipelined(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		all, ends := "", map[int]bool{}
		for _, request := range []string{"GET /a HTTP/1.1\r\n" + hostLine, "\r\nHEAD /test/1 HTTP/1.1\r\n" + hostLine,
			"PUT /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
			"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET /d HTTP/1.1\r\nConnection: close\r\n" + hostLine} {
			all += request
			ends[len(all)] = true
		}
		for cut := 1; cut <= len(all); cut += 7 {
			b := dial(t, s)
			b.say(all[:cut])
			if !ends[cut] {
				until(t, "the first piece is seen", func() bool { n, _ := partials(s); return n > 0 })
			}
			b.say(all[cut:])
			for i, want := range []int{404, 200, 501, 404, 404} {
				resp, err := http.ReadResponse(b.r, &http.Request{Method: map[bool]string{true: "HEAD", false: "GET"}[i == 1]})
				if err != nil || resp.StatusCode != want {
					t.Fatalf("cut at %d, answer %d: %+v, %v; want %d", cut, i, resp, err, want)
				}
				io.Copy(io.Discard, resp.Body)
			}
			if rest := b.rest(); rest != "" {
				t.Errorf("%q follows", rest)
			}
			b.Close()
		}
		until(t, "all have ended", func() bool { return s.Stats().Conns.Open == 0 })
		if n, _ := partials(s); n != 0 {
			t.Errorf("%d partial requests are kept", n)
		}
	})
}

// Bodies are read past, within their bound.
func TestBodies(t *testing.T) {
	long := strings.Repeat("b", bodyMax)
	for _, c := range []struct {
		name, fields, body string
		status             int
	}{
		{"of a stream", "Content-Length: 5\r\n", "hello", 200},
		{"empty", "Content-Length: 0\r\n", "", 200},
		{"chunked", "Transfer-Encoding: chunked\r\n", "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n", 200},
		{"as long as may be", "Content-Length: 65536\r\n", long, 200},
		{"too long", "Content-Length: 65537\r\n", "", 413},
		{"too long in chunks", "Transfer-Encoding: chunked\r\n", "10000\r\n" + long + "\r\n0\r\n\r\n", 413},
		{"broken", "Transfer-Encoding: chunked\r\n", "5\r\nhello!\r\n", 400},
	} {
		eachEngine(t, func(t *testing.T, engine string) {
			for _, expect := range []bool{false, true} {
				s := start(t, Config{Engine: engine})
				b := dial(t, s)
				head := "GET /test/1 HTTP/1.1\r\n" + c.fields
				if expect {
					b.say(head + "Expect: 100-continue\r\n" + hostLine)
					if c.body != "" {
						if got := b.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
							t.Fatalf("%s: %q", c.name, got)
						}
					}
				} else {
					b.say(head + hostLine)
				}
				go io.Copy(b, strings.NewReader(c.body))
				resp, err := http.ReadResponse(b.r, nil)
				if err != nil || resp.StatusCode != c.status {
					t.Fatalf("%s: %+v, %v", c.name, resp, err)
				}
				if c.status != 200 {
					if body, err := io.ReadAll(resp.Body); err != nil || !resp.Close || len(body) == 0 {
						t.Errorf("%s: %q, %v", c.name, body, err)
					}
					continue
				}
				publish(t, s, "1\thello\n")
				b.wantMessage(1, "hello")
				if n, _ := partials(s); n != 0 {
					t.Errorf("%s: %d partial requests are kept", c.name, n)
				}
			}
		})
	}
}

// A body that does not come is waited for as long as a head is.
func TestBodyTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, HeadTimeout: 100 * time.Millisecond})
		b := dial(t, s)
		b.say("GET /test/1 HTTP/1.1\r\nContent-Length: 5\r\n" + hostLine + "hell")
		if rest := b.rest(); !strings.HasPrefix(rest, "HTTP/1.1 408 ") {
			t.Errorf("%q", rest)
		}
	})
}

// A stream has no end, so that nothing behind it could be answered.
func TestBehindAStream(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for i, behind := range []string{"GET /nope HTTP/1.1\r\n" + hostLine, "x", "\r\n\r\nx", "\x00"} {
			b := dial(t, s)
			b.say("GET /test/1 HTTP/1.1\r\n" + hostLine + behind)
			if resp, body := b.response(); resp.StatusCode != 400 || !resp.Close || !strings.Contains(body, "behind one for a stream") {
				t.Errorf("%q: %d %q", behind, resp.StatusCode, body)
			}
			b.Close()
			until(t, "counted", func() bool { return s.counts.closed[causePipelined].Load() == int64(2*i+1) })

			b = dial(t, s).stream("1")
			publish(t, s, "1\tone\n")
			b.say("\r\n")
			b.say(behind)
			b.wantMessage(1, "one")
			if got := b.rest(); got != "0\r\n\r\n" {
				t.Errorf("%q: the stream ends with %q", behind, got)
			}
			b.Close()
			until(t, "counted", func() bool { return s.counts.closed[causePipelined].Load() == int64(2*i+2) })
		}
		if n := s.counts.refused[causePipelined].Load(); n != 4 {
			t.Errorf("%d refused", n)
		}
	})
}

// A connection logs in under all ids that it names.
func TestSeveralIDs(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		b := dial(t, s).stream("12,57,%61,12")
		if got := s.Stats().Router; got.Sessions != 1 || got.Logins != 3 {
			t.Errorf("%+v", got)
		}
		publish(t, s, "57\tone\n12\ttwo\na\tthree\n")
		b.wantMessage(1, "one")
		b.wantMessage(2, "two")
		b.wantMessage(3, "three")
		var many, more bytes.Buffer
		for i := range 65 {
			if i > 0 {
				more.WriteByte(',')
			}
			if more.WriteString(strings.Repeat("i", i+1)); i == 63 {
				many.Write(more.Bytes())
			}
		}
		dial(t, s).stream(many.String())
		until(t, "logged in", func() bool { return s.Stats().Router.Logins == 3+64 })
		for list, says := range map[string]string{more.String(): "more than 64", "1,,2": "empty id", ",1": "empty id", "1,": "empty id", "1,a%2Cb": "','", "1,a/b": "'/'"} {
			c := dial(t, s)
			c.say("GET /test/" + list + " HTTP/1.1\r\n" + hostLine)
			if resp, body := c.response(); resp.StatusCode != 400 || !strings.Contains(body, says) {
				t.Errorf("%.20s: %d %q", list, resp.StatusCode, body)
			}
		}
		b.reset()
		until(t, "logged out", func() bool { return s.Stats().Router.Logins == 64 })
	})
}
