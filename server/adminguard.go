package server

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"cometctl/internal/bearer"
)

// guard stands before the admin listener's handlers. Who reaches the listener may write to every id, so it asks for three things:
//
//  1. Without a token to know them by, clients are of this machine: Config refuses other addresses. Among them is every browser, and
//     a page's host may be a name that its owner points at 127.0.0.1 (DNS rebinding), hence a look at Host.
//  2. A browser sends some requests for any page before it asks whether it may (POST with text/plain), hence a look at Origin.
//  3. The token, save for the two questions that a load balancer has.
type guard struct {
	next   http.Handler
	cfg    *Config
	times  adminTimes
	tokens atomic.Pointer[bearer.Tokens] // nil: none is asked for
}

func newGuard(cfg *Config, next http.Handler) *guard {
	g := &guard{next: next, cfg: cfg, times: cfg.adminTimes}
	if cfg.AdminTokenFile != "" {
		g.tokens.Store(&cfg.tokens)
	}
	return g
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, r = g.times.apply(w, r)
	tokens := g.tokens.Load()
	if tokens == nil && !g.ours(r.Host) {
		refuse(w, http.StatusMisdirectedRequest, "the admin listener goes by localhost and loopback addresses only, unless it has a token (--admin-token-file)")
		return
	}
	if !g.origin(w, r) {
		return
	}
	if tokens != nil && !public(r.URL.Path) {
		token, given := bearer.OfHeader(r.Header["Authorization"])
		if !given || !tokens.Match(token) {
			challenge := `Bearer realm="cometctl admin"`
			if given {
				challenge += `, error="invalid_token"` // RFC 6750 section 3
			}
			g.cfg.Log.Warn("a request to the admin listener had no token that is known", "peer", r.RemoteAddr, "path", r.URL.Path, "token", given)
			w.Header().Set("WWW-Authenticate", challenge)
			refuse(w, http.StatusUnauthorized, "the admin listener asks for a token: Authorization: Bearer TOKEN (--token-file)")
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// public tells what is answered without a token: a load balancer has none, and the time is in each answer's Date anyway.
func public(path string) bool { return path == "/healthz" || path == "/readyz" || path == "/clock" }

// refuse answers without waiting for a body that nobody reads: that of a stream may never end.
func refuse(w http.ResponseWriter, status int, text string) {
	http.NewResponseController(w).EnableFullDuplex()
	http.Error(w, text, status)
}

// ours tells whether Host names this listener in a way that no page of elsewhere can.
func (g *guard) ours(host string) bool {
	if host == "" {
		return true // HTTP/1.0, which no browser speaks
	}
	name := hostOf(host)
	named := hostOf(g.cfg.Admin)
	return net.ParseIP(name).IsLoopback() || strings.EqualFold(name, "localhost") || named != "" && strings.EqualFold(name, named)
}

// hostOf is host:port without its port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// origin does the part of the server in the CORS protocol (Fetch, section 3.3) for a request of a page. It answers the question that a
// browser asks first, and refuses pages that are not named; true: the request goes on. Where there is no Origin, no page asks, or one that
// can neither read the answer nor change anything.
func (g *guard) origin(w http.ResponseWriter, r *http.Request) (pass bool) {
	head := w.Header()
	if len(g.cfg.AllowOrigin) > 0 {
		head.Set("Vary", "Origin")
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	origin := origins[0]
	switch {
	case len(origins) == 1 && g.cfg.allowsOrigin([]byte(origin)):
		head.Set("Access-Control-Allow-Origin", origin)
	case len(origins) == 1 && (origin == "http://"+r.Host || origin == "https://"+r.Host):
		return true // our own answer, in a browser's window
	default:
		refuse(w, http.StatusForbidden, "pages of this origin may not use the admin listener (--allow-origin)")
		return false
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return true
	}
	head.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	head.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	head.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// checkAdmin refuses an admin listener that anybody could use. It reads the tokens.
func (c *Config) checkAdmin() error {
	if c.NoAdmin {
		return nil
	}
	def(&c.adminTimes.body, adminBody)
	def(&c.adminTimes.answer, adminAnswer)
	def(&c.adminTimes.idle, adminIdle)
	at, err := net.ResolveTCPAddr("tcp", c.Admin)
	if err != nil {
		return configErrorf("--admin %q: want host:port: %w", c.Admin, err)
	}
	if err := c.checkReach(c.Admin, at); err != nil || c.AdminTokenFile == "" {
		return err
	}
	if c.tokens, err = bearer.Read(c.AdminTokenFile); err != nil {
		return configErrorf("--admin-token-file %w", err)
	}
	if !at.IP.IsLoopback() {
		c.Log.Warn("the admin listener speaks plain HTTP: who can listen on the way learns the token; let a proxy with TLS stand before it, or a tunnel end at it", "admin", c.Admin)
	}
	return nil
}

// checkReach refuses an address that other machines reach, unless there are tokens.
func (c *Config) checkReach(name string, at net.Addr) error {
	if tcp, ok := at.(*net.TCPAddr); c.AdminTokenFile == "" && (!ok || !tcp.IP.IsLoopback()) {
		return configErrorf("--admin %s is no loopback address: whoever reaches it could write to every id; give --admin-token-file, or a loopback address", name)
	}
	return nil
}

// reloadTokens reads AdminTokenFile again, if there is one. Where that fails the tokens stay what they were, and the log says so.
func (s *Server) reloadTokens() error {
	if s.guard == nil || s.cfg.AdminTokenFile == "" {
		return nil
	}
	tokens, err := bearer.Read(s.cfg.AdminTokenFile)
	if err != nil {
		err = configErrorf("--admin-token-file %w", err)
		s.cfg.Log.Error("the admin listener's tokens were not replaced; the old ones stay in use", "error", plain(err))
		return err
	}
	s.guard.tokens.Store(&tokens)
	s.cfg.Log.Info("the admin listener's tokens were read again", "file", s.cfg.AdminTokenFile, "tokens", tokens.Len())
	return nil
}
