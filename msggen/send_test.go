package msggen

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cometctl/internal/clienttls"
)

func TestSend(t *testing.T) {
	var id, msg string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /send/{id}", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		id, msg = r.PathValue("id"), string(b)
		io.WriteString(w, `{"sent":1,"delivered":2,"offline":0,"new":"key"}`+"\n")
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, want := range []string{"123", "a.b_c~d-e", ".", "..", "...", "%2E", "a/b", "ü ?#"} {
		for _, base := range []string{srv.URL, srv.URL + "/"} {
			r, err := Send(t.Context(), base, "", clienttls.Trust{}, want, []byte("Hello\x00 World"))
			if err != nil || id != want || msg != "Hello\x00 World" {
				t.Fatalf("id %q: the server got %q and %q, %v", want, id, msg, err)
			}
			if r.Sent != 1 || r.Delivered != 2 || string(r.Raw) != `{"sent":1,"delivered":2,"offline":0,"new":"key"}` {
				t.Errorf("receipt %+v", r)
			}
		}
	}
}

func TestSendFails(t *testing.T) {
	answer := func(status int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	tests := []struct{ base, want string }{
		{gone.URL, "connection refused; is cometctl serve running?"},
		{answer(400, "bad id"), `refused the message: 400 Bad Request: "bad id"`},
		{answer(307, ""), "refused the message: 307"},
		{answer(503, ""), "503 Service Unavailable"},
		{answer(200, "<html>hello"), `is no receipt: "<html>hello"`},
		{"http://127.0.0.1:1:2", "127.0.0.1:1:2"},
	}
	for _, tt := range tests {
		if r, err := Send(t.Context(), tt.base, "", clienttls.Trust{}, "1", nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, error %v, want one with %q", tt.base, r, err, tt.want)
		}
	}
}
