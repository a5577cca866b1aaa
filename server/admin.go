package server

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

// serveAdmin serves on ln, which is the server's from here on.
func (s *Server) serveAdmin(ln net.Listener) {
	s.http = s.newAdmin()
	al := newAdminListener(ln, adminPlaces, s.lend, func() {
		s.cfg.Log.Warn("the admin listener's connections have all descriptors that can be spared; more wait until one ends")
	})
	go func() { s.httpDone <- s.http.Serve(al) }()
}

// newAdmin is the admin listener: net/http, since nothing here is paid for per connection of the front.
func (s *Server) newAdmin() *http.Server {
	mux := http.NewServeMux()
	metrics := sync.OnceValue(s.newMetrics)
	mux.HandleFunc("POST /send/{id}", s.sendOne)
	mux.HandleFunc("POST /send", s.sendStream)
	mux.HandleFunc("GET /who/{id}", s.serveWho)
	mux.HandleFunc("DELETE /who/{id}", s.serveWho)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Stats()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { metrics().ServeHTTP(w, r) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /clock", serveClock)
	mux.HandleFunc("POST /gc", s.serveGC)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.guard = newGuard(&s.cfg, mux)
	return &http.Server{
		Handler:           s.guard,
		ConnContext:       withConn,
		ReadHeaderTimeout: s.cfg.HeadTimeout,
		WriteTimeout:      s.cfg.adminTimes.answer, // of what net/http says by itself; pprof adds the time that it was asked to take
		IdleTimeout:       s.cfg.adminTimes.idle,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}
}

// serveReady says whether new connections are welcome. A server that drains still lives, so /healthz stays what it is.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	if s.cluster != nil {
		if err := s.cluster.Ready(); err != nil {
			http.Error(w, plain(err), http.StatusServiceUnavailable)
			return
		}
	}
	if s.family != nil {
		if err := s.family.Ready(); err != nil {
			http.Error(w, plain(err), http.StatusServiceUnavailable)
			return
		}
	}
	w.Write([]byte("ok\n"))
}

// serveClock says what the time is here, in ns since the epoch, for clients elsewhere who measure how their clock differs. Others that
// remember an answer would be wrong for ever.
func serveClock(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(strconv.AppendInt(nil, time.Now().UnixNano(), 10))
}

// serveGC collects and gives memory back to the system: the seed's forced garbage_collect, visible in a memory graph. The numbers are
// this process's, and its family does the same.
func (s *Server) serveGC(w http.ResponseWriter, _ *http.Request) {
	before := readMemory()
	debug.FreeOSMemory()
	if s.family != nil {
		s.family.Collect()
	}
	writeJSON(w, struct {
		Before MemoryStats `json:"before"`
		After  MemoryStats `json:"after"`
	}{before, readMemory()})
}
