package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"cometctl/server/ui"
)

// The page and its parts come on one connection, and HEAD gets their heads.
func TestFilesOfThePage(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		c := dial(t, s)
		for path, file := range ui.Files("") {
			for _, method := range []string{"GET", "HEAD"} {
				c.say(method + " " + path + " HTTP/1.1\r\n" + hostLine)
				req, err := http.NewRequest(method, "http://localhost"+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(c.r, req)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != file.Type || resp.ContentLength != int64(len(file.Text)) {
					t.Errorf("%s %s: %s, %q, %d bytes, %v", method, path, resp.Status, resp.Header.Get("Content-Type"), resp.ContentLength, err)
				}
				if want := string(file.Text); method == "GET" && string(text) != want {
					t.Errorf("%s has %d bytes, want %d", path, len(text), len(want))
				}
				if policy := resp.Header.Get("Content-Security-Policy"); path == "/" && !strings.Contains(policy, "script-src 'self'") {
					t.Errorf("the page may run what it likes: %q", policy)
				}
			}
		}
		c.say("POST / HTTP/1.1\r\nConnection: close\r\n" + hostLine)
		if got := c.rest(); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
			t.Errorf("POST / is answered with %q", got)
		}
	})
}

// The page knows the admin listener only where that would let a page.
func TestPageKnowsTheAdminListener(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Admin: "127.0.0.1:8001"}, ""},
		{Config{Admin: "127.0.0.1:8001", AllowOrigin: []string{"http://a.example"}}, "http://127.0.0.1:8001"},
		{Config{Admin: "[::1]:8001", AllowOrigin: []string{"http://a.example"}}, "http://[::1]:8001"},
		{Config{Admin: "[::]:8001", AllowOrigin: []string{"http://a.example"}}, ":8001"},
		{Config{Admin: ":8001", AllowOrigin: []string{"http://a.example"}}, ":8001"},
		{Config{Admin: "127.0.0.1:0", AllowOrigin: []string{"http://a.example"}}, ""}, // a worker's, whose parent has picked a port
	} {
		if got := (&Server{cfg: c.cfg}).adminForPage(); got != c.want {
			t.Errorf("admin %s, origins %q: the page is told %q, want %q", c.cfg.Admin, c.cfg.AllowOrigin, got, c.want)
		}
	}
}
