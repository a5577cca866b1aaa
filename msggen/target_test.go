package msggen

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cometctl/internal/clienttls"
)

// secured takes streams at /send and single messages anywhere else, by TLS from anna only, and hangs up on every tenth of those.
type secured struct {
	*httptest.Server
	messages, resumed atomic.Int64
}

func newSecured(t *testing.T) *secured {
	s := &secured{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "anna" || password != "a:b c" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		if r.TLS.DidResume {
			s.resumed.Add(1)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n := int64(1)
		if r.URL.Path == "/send" {
			n = int64(bytes.Count(body, []byte("\n")))
		} else if s.messages.Load()%10 == 9 {
			w.Header().Set("Connection", "close")
		}
		s.messages.Add(n)
		json.NewEncoder(w).Encode(Ledger{Sent: uint64(n), Delivered: uint64(n)})
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// to is s's URL with a user in it.
func (s *secured) to(user string) string {
	return strings.Replace(s.URL, "https://", "https://"+user+"@", 1)
}

func (s *secured) trust() clienttls.Trust {
	return clienttls.Trust{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}
}

const anna = "anna:a:b%20c"

// A stream and single requests go by TLS, with the user's name and password, and who connects again resumes.
func TestOverTLS(t *testing.T) {
	for _, path := range []string{"POST %s/x/{id}", "%s"} {
		s := newSecured(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res, err := Run(ctx, Config{To: strings.Replace(path, "%s", s.to(anna), 1), Trust: s.trust(), IDs: 7, Count: 50})
		if err != nil || res.Accepted != 50 || s.messages.Load() != 50 {
			t.Errorf("%s: %+v, %v; the server had %d", path, res, err, s.messages.Load())
		}
		if path != "%s" && (res.Reconnects == 0 || s.resumed.Load() == 0) {
			t.Errorf("%d reconnects, %d requests on a resumed session", res.Reconnects, s.resumed.Load())
		}
		if strings.Contains(res.Asked.To, "b%20c") || !strings.Contains(res.Asked.To, "anna:xxxxx@") {
			t.Errorf("the result tells %q", res.Asked.To)
		}
	}
}

// What a handshake fails of is said, with the way out, and nothing of the password.
func TestOverTLSRefused(t *testing.T) {
	s := newSecured(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for _, c := range []struct {
		name, to string
		trust    clienttls.Trust
		want     string
	}{
		{"nobody is trusted", s.to(anna), clienttls.Trust{}, "certificate: unknown authority; trust who has issued it (--ca FILE)"},
		{"another name", strings.Replace(s.to(anna), "127.0.0.1", "localhost", 1), s.trust(), "certificate: wrong name"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), clienttls.Trust{Insecure: true}, "no tls"},
		{"another user", s.to("eve:guessed"), s.trust(), "401 Unauthorized"},
	} {
		for _, form := range []string{"%s", "POST %s/x/{id}"} {
			if c.name == "another user" && form != "%s" {
				continue // its answers are counted by status, and no error
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := Run(ctx, Config{To: strings.Replace(form, "%s", c.to, 1), Trust: c.trust, IDs: 1, Count: 1, Grace: 10 * time.Millisecond})
			cancel()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "guessed") || strings.Contains(err.Error(), "a:b") {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
		if c.name == "no TLS" {
			c.want = "server gave HTTP response to HTTPS client" // so net/http has it
		}
		if _, err := Send(t.Context(), c.to, "", c.trust, "1", nil); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "guessed") {
			t.Errorf("%s: send: %v, want %q", c.name, err, c.want)
		}
	}
}
