package flood

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// secured is a server that speaks TLS. Each stream says hello; those under /short end then. resumed and whole count its handshakes.
type secured struct {
	*httptest.Server
	resumed, whole atomic.Int64
}

func newSecured(t *testing.T, cfg *tls.Config) *secured {
	s := &secured{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			s.resumed.Add(1)
		} else {
			s.whole.Add(1)
		}
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		if !strings.HasPrefix(r.URL.Path, "/short") {
			<-r.Context().Done()
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = cfg
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// trusting is who trusts s.
func (s *secured) trusting() *tls.Config {
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(s.Certificate())
	return cfg
}

// floodOver floods url until the run ends by itself or every target was tried.
func floodOver(t *testing.T, cfg Config, rules Rules, url string) Result {
	t.Helper()
	var err error
	if cfg.Targets, err = LoadTargets([]string{url}, nil, rules); err != nil {
		t.Fatal(err)
	}
	cfg.Hold = cmp.Or(cfg.Hold, 10*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Run(ctx)
	if ctx.Err() != nil {
		t.Fatalf("the run did not end: %+v, %v", r, err)
	}
	return r
}

func TestTLS(t *testing.T) {
	s := newSecured(t, nil)
	r := floodOver(t, Config{}, Rules{TLS: s.trusting()}, s.URL+"/test/{1..30}")
	if !r.Held() || r.TLS == nil || r.TLS.Max <= 0 || r.Resumed != 0 || s.resumed.Load() != 0 || s.whole.Load() != 30 {
		t.Errorf("%+v, %d whole handshakes, %d resumed", r, s.whole.Load(), s.resumed.Load())
	}
	if plain := floodOver(t, Config{}, Rules{}, newComet(t).URL+"/test/1"); plain.TLS != nil {
		t.Errorf("plain connections have a time of handshakes: %+v", plain.TLS)
	}
}

// Who comes again resumes; a first connection never does.
func TestTLSResumes(t *testing.T) {
	s := newSecured(t, nil)
	targets, err := LoadTargets([]string{s.URL + "/short/{1..10}"}, nil, Rules{TLS: s.trusting()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, err := New(Config{Targets: targets, Redial: about(time.Millisecond), Every: time.Millisecond, Watch: func(p Progress) {
		if p.Reconnects >= 20 {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Run(ctx)
	if err != nil || r.Resumed < r.Reconnects || r.Resumed == 0 || s.whole.Load() != 10 || s.resumed.Load() == 0 {
		t.Errorf("%d reconnects, %d resumed, %v; the server saw %d whole, %d resumed", r.Reconnects, r.Resumed, err, s.whole.Load(), s.resumed.Load())
	}
}

// A handshake that fails is a failed connection, by its reason.
func TestTLSCauses(t *testing.T) {
	s := newSecured(t, nil)
	strict := newSecured(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
	_, port, _ := strings.Cut(s.Listener.Addr().String(), ":")
	for _, c := range []struct {
		name  string
		rules Rules
		url   string
		as    As
		want  string
	}{
		{"nobody is trusted", Rules{TLS: &tls.Config{RootCAs: x509.NewCertPool()}}, s.URL, AsStream, "certificate: unknown authority"},
		{"who polls", Rules{TLS: &tls.Config{RootCAs: x509.NewCertPool()}}, s.URL, AsPoll, "certificate: unknown authority"},
		{"another name", Rules{TLS: s.trusting()}, "https://localhost:" + port, AsStream, "certificate: wrong name"},
		{"http behind https", Rules{}, strings.Replace(newComet(t).URL, "http:", "https:", 1), AsStream, "no tls"},
		{"http behind wss", Rules{}, strings.Replace(newComet(t).URL, "http:", "wss:", 1), AsStream, "no tls"},
		{"https behind http", Rules{}, strings.Replace(s.URL, "https:", "http:", 1), AsStream, "status 400"},
		{"wants a certificate", Rules{TLS: strict.trusting()}, strict.URL, AsStream, "tls: certificate required"},
		{"anybody", Rules{TLS: &tls.Config{InsecureSkipVerify: true}}, "https://localhost:" + port, AsStream, ""},
	} {
		c.rules.As = c.as
		r := floodOver(t, Config{}, c.rules, c.url+"/test/{1..2}")
		if c.want == "" && !r.Held() || c.want != "" && (r.Failed != 2 || r.FailedBy[c.want] != 2) {
			t.Errorf("%s: %+v, want %q", c.name, r, c.want)
		}
	}
}

func TestTLSEngine(t *testing.T) {
	targets, err := LoadTargets([]string{"http://127.0.0.1/", "wss://127.0.0.1/"}, nil, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Targets: targets, Engine: "epoll"}); err == nil || !strings.Contains(err.Error(), "goroutine engine") {
		t.Errorf("epoll: %v", err)
	}
	f, err := New(Config{Targets: targets})
	if err != nil || f.cfg.Engine != "goroutine" {
		t.Errorf("engine %q, %v", fmt.Sprint(f), err)
	}
}
