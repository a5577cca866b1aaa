package msggen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cometctl/internal/wire"
)

const (
	testMsg    = "Fake message Num = 42 ~17000000000000001.7.3.1700000000000000000~"
	testMsgURL = "Fake%20message%20Num%20%3D%2042%20~17000000000000001.7.3.1700000000000000000~"
)

func text(s string) *string { return &s }

func TestTemplate(t *testing.T) {
	const agent = "User-Agent: cometctl-msggen\r\n"
	for _, tt := range []struct {
		to     string
		header []string
		body   *string
		want   string
		addr   string
	}{
		{"POST http://127.0.0.1:8010/send/{id}", nil, nil,
			"POST /send/7 HTTP/1.1\r\nHost: 127.0.0.1:8010\r\n" + agent + "Content-Length: 65\r\n\r\n" + testMsg, "127.0.0.1:8010"},
		{"GET http://127.0.0.1:8000/send/{id}?{msg_url}", nil, nil,
			"GET /send/7?" + testMsgURL + " HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n" + agent + "\r\n", "127.0.0.1:8000"},
		{"http://localhost/{id}{id}", nil, nil,
			"POST /77 HTTP/1.1\r\nHost: localhost\r\n" + agent + "Content-Length: 65\r\n\r\n" + testMsg, "localhost:80"},
		{" PUT  http://[::1]:81?q={id}", []string{"Content-Type: application/json", "x-id: {id}:{msg}"},
			text(`{"channel":{"id":"{id}"},"text":{msg_json},"none":{}}`),
			"PUT /?q=7 HTTP/1.1\r\nHost: [::1]:81\r\n" + agent + "Content-Type: application/json\r\nx-id: 7:" + testMsg + "\r\n" +
				"Content-Length: 107\r\n\r\n" + `{"channel":{"id":"7"},"text":"` + testMsg + `","none":{}}`, "[::1]:81"},
		{"DELETE http://127.0.0.1/", []string{"X:{msg_url}", "user-agent: me", "HOST: comet.example"}, nil,
			"DELETE / HTTP/1.1\r\nX: " + testMsgURL + "\r\nuser-agent: me\r\nHOST: comet.example\r\n\r\n", "127.0.0.1:80"},
		{"POST http://127.0.0.1/{msg_url}", nil, text(""),
			"POST /" + testMsgURL + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + agent + "Content-Length: 0\r\n\r\n", "127.0.0.1:80"},
	} {
		tmpl, err := parseTemplate(&Config{To: tt.to, Header: tt.header, Body: tt.body})
		if err != nil {
			t.Errorf("%q: %v", tt.to, err)
			continue
		}
		var s sheet
		s.take([]byte("7"), []byte(testMsg))
		for range 2 {
			if got := string(tmpl.append(nil, &s)); got != tt.want {
				t.Errorf("%q makes\n%q, want\n%q", tt.to, got, tt.want)
			}
		}
		if got := address(tmpl.url()); got != tt.addr {
			t.Errorf("%q dials %s, want %s", tt.to, got, tt.addr)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	const good = "POST http://127.0.0.1:8010/send/{id}"
	for _, tt := range []struct {
		to     string
		header string
		body   *string
		want   string // in the error
	}{
		{"POST http://127.0.0.1/{foo}", "", nil, "unknown placeholder {foo}"},
		{"POST http://127.0.0.1/{ID}", "", nil, "unknown placeholder {ID}"},
		{"POST http://127.0.0.1/{msg_uri}", "", nil, "{msg_uri}; placeholders are {id}, {msg}, {msg_url} and {msg_json}"},
		{"POST http://127.0.0.1/{id", "", nil, `a brace without its other half: "{id"`},
		{"POST http://127.0.0.1/id}", "", nil, `a brace without its other half: "}"`},
		{"http://127.0.0.1/{", "", nil, "1 of { are never closed"},
		{"http://127.0.0.1/{}", "", nil, "braces around no placeholder"},
		{"http://127.0.0.1/{1..10}", "", nil, "braces around no placeholder"},
		{"POST http://127.0.0.1/{id}?{msg}", "", nil, "write {msg_url}"},
		{"POST http://127.0.0.1/{msg_json}", "", nil, "write {msg_url}"},
		{"POST http://127.0.0.{id}/", "", nil, "a placeholder in the host"},
		{"POST http://127.0.0.1/#{id}", "", nil, "fragment"},
		{"GET http://127.0.0.1/{id}", "", nil, "nothing of the message would be sent"},
		{"POST http://127.0.0.1/{id}", "", text("x"), "nothing of the message would be sent"},
		{"P{}ST http://127.0.0.1/{id}", "", nil, `"P{}ST" is no method`},
		{"(GET) http://127.0.0.1/{msg_url}", "", nil, `"(GET)" is no method`},
		{"HEAD http://127.0.0.1/{msg_url}", "", nil, "HEAD"},
		{"CONNECT http://127.0.0.1/{msg_url}", "", nil, "CONNECT"},
		{"POST http://127.0.0.1/a b/{id}", "", nil, "has spaces in its URL"},
		{"POST http://127.0.0.1/\x01{id}", "", nil, "no request can be made of it"},
		{"POST http://127.0.0.1/\u00fc{id}", "", nil, "no request can be made of it"},
		{"POST http://127.0.0.1/" + strings.Repeat("x", 9000), "", nil, "longer than 8192 bytes"},
		{"POST ftp://127.0.0.1/{id}", "", nil, "it must hold an http or https URL"},
		{"POST http://me:sec{id}@127.0.0.1/{id}", "", nil, "a placeholder in the host"},
		{"POST http://me:s%zz@127.0.0.1/{id}", "", nil, "http://me:xxxxx@127.0.0.1"},
		{"POST http://me:secret@127.0.0.1/{id}", "Authorization: x", nil, "are the same field"},
		{"POST ftp://127.0.0.1/{id}", "", nil, "https URL"},
		{"POST 127.0.0.1/{id}", "", nil, "https URL"},
		{"POST http:///{id}", "", nil, "https URL"},
		{"POST http://192.0.2.1/{id}", "", nil, "--allow-remote"},
		{"POST http://comet.example/{id}", "", nil, "--allow-remote"},
		{" ", "", nil, "https URL"},
		{good, "X: {foo}", nil, `header "X: {foo}": unknown placeholder {foo}`},
		{good, "X: {msg", nil, `header "X: {msg": a brace without`},
		{good, "X", nil, `header "X": no header field`},
		{good, "X Y: 1", nil, "space between a field's name and its colon"},
		{good, "{id}: 1", nil, "cannot be sent"},
		{good, "X: a\r\nY: b", nil, "a line break"},
		{good, "X: a\x00", nil, "control byte 0x00"},
		{good, "Content-Length: 3", nil, "how a request is framed"},
		{good, "transfer-encoding: chunked", nil, "how a request is framed"},
		{good, "Host: {id}", nil, "a placeholder in the host"},
		{good, "Host:", nil, "no host is named"},
		{good, "", text(`{"id":"{id}","text":{msg_json}`), `body "{\"id\"`},
		{good, "", text("{msg}}"), "a brace without its other half"},
		{good, "", text("{message}"), `body "{message}": unknown placeholder {message}`},
	} {
		c := Config{To: tt.to, Body: tt.body, IDs: 1}
		if tt.header != "" {
			c.Header = []string{tt.header}
		}
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q, %q: error %v, want %q in it", tt.to, tt.header, err, tt.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\r\n\x00\x01") {
			t.Errorf("%.60q: the error is not one clean line: %q", tt.to, err)
		}
	}
	two := Config{To: good, IDs: 1, Header: []string{"Host: a", "host: b"}}
	if err := two.Check(); err == nil || !strings.Contains(err.Error(), "2 Host fields") {
		t.Errorf("two hosts: error %v", err)
	}
}

// TestTemplateOnly: what shapes a request per message means nothing to a stream, and is refused there.
func TestTemplateOnly(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"header":      func(c *Config) { c.Header = []string{"A: b"} },
		"body":        func(c *Config) { c.Body = text("") },
		"connections": func(c *Config) { c.Connections = 2 },
		"pipeline":    func(c *Config) { c.Pipeline = 2 },
	} {
		c := Config{To: "http://127.0.0.1:8001/send", IDs: 1}
		set(&c)
		err := c.Check()
		if err == nil || !strings.Contains(err.Error(), "put a method in front, such as POST http://127.0.0.1:8001/send/{id}") {
			t.Errorf("%s: error %v", name, err)
		}
		c.To = "POST http://127.0.0.1:8001/send/{id}?{msg_url}"
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, c := range map[string]Config{
		"--connections -1:":             {Connections: -1},
		"--connections 10001:":          {Connections: 10_001},
		"--connections 2 for 3 workers": {Connections: 2, Workers: 3},
		"--pipeline -1: it must be 1":   {Pipeline: -1},
		"--pipeline 65537: it must":     {Pipeline: MaxPipeline + 1},
	} {
		c.To, c.IDs = "POST http://127.0.0.1/{id}", 1
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// TestMessageIsPlain: a message of a composer needs no escaping in JSON, which {msg_json} counts on.
func TestMessageIsPlain(t *testing.T) {
	c := newComposer(0, &Config{Seed: 1, IDs: 10, Size: 300})
	c.tag = wire.NewRunTag(time.UnixMilli(1_700_000_000_000), 9999)
	msg := c.appendMessage(nil, []byte("7"), 1<<60, 1<<40, 1<<62, time.Second)
	s := sheet{msg: msg}
	var back string
	if err := json.Unmarshal(appendSegments(nil, []segment{{place: placeJSON}}, &s), &back); err != nil || back != string(msg) {
		t.Errorf("%q became %q, %v", msg, back, err)
	}
	if back, err := url.QueryUnescape(string(appendEscaped(nil, msg))); err != nil || back != string(msg) {
		t.Errorf("%q became %q, %v", msg, back, err)
	}
}

func TestTemplateAllocatesNothing(t *testing.T) {
	tmpl, err := parseTemplate(&Config{To: "POST http://127.0.0.1/{id}?{msg_url}", Body: text(`{"a":{msg_json}}`), Header: []string{"A: {msg}"}})
	if err != nil {
		t.Fatal(err)
	}
	var s sheet
	s.take([]byte("7"), []byte(testMsg))
	buf := tmpl.append(nil, &s)
	if n := testing.AllocsPerRun(100, func() { buf = tmpl.append(buf[:0], &s) }); n != 0 {
		t.Errorf("%v allocations a request, want none", n)
	}
}

// FuzzTemplate: what is accepted makes one request that net/http reads to its end, and the message is in it.
func FuzzTemplate(f *testing.F) {
	f.Add("POST http://127.0.0.1:8010/send/{id}", "TE: chunked", "{msg}", false)
	f.Add("GET http://127.0.0.1/send/{id}?{msg_url}", "X: {msg}", "", true)
	f.Add("PUT http://127.0.0.1/", "Host: a", `{"id":"{id}","text":{msg_json}}`, true)
	f.Add("http://127.0.0.1/{{id}}", "A: {", "}{", true)
	f.Fuzz(func(t *testing.T, to, header, body string, withBody bool) {
		c := Config{To: to, Header: []string{header}}
		if withBody {
			c.Body = &body
		}
		tmpl, err := parseTemplate(&c)
		if err != nil {
			return
		}
		var s sheet
		s.take([]byte("7"), []byte(testMsg))
		made := tmpl.append(nil, &s)
		in := bufio.NewReader(bytes.NewReader(made))
		r, err := http.ReadRequest(in)
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL escape") || strings.Contains(err.Error(), "parse ") {
				return // wire leaves it to the server what a path means
			}
			t.Fatalf("%q, %q: %q: %v", to, header, made, err)
		}
		if expects := r.Header.Get("Expect"); expects != "" {
			return
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || in.Buffered() > 0 || tmpl.long != (r.Header.Get("Content-Length") != "") || !withBody && len(got) > 0 && string(got) != testMsg {
			t.Fatalf("%q, %q: %q has the body %q, %v, and %d bytes behind it", to, header, made, got, err, in.Buffered())
		}
		if _, _, ok := wire.NextStamp(made); !ok {
			t.Fatalf("%q, %q: %q has no stamp", to, header, made)
		}
	})
}
