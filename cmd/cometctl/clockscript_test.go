package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptOtherClock stands for a server on another machine, whose clock differs.
func scriptOtherClock(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2, "otherclock VAR AHEAD")
	ahead, err := time.ParseDuration(args[1])
	ts.Check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, time.Now().Add(ahead).UnixNano()) })
	s := httptest.NewServer(mux)
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}
