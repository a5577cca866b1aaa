package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"cometctl/flood"
	"cometctl/internal/promise"
	"cometctl/internal/strain"
	"cometctl/internal/timing"
	"cometctl/memlog"
	"cometctl/msggen"
)

var update = flag.Bool("update", false, "write the tables of docs/promises.md anew")

// tables are the tables of all commands, as docs/promises.md has them.
func tables() map[string][]promiseRow {
	return map[string][]promiseRow{
		"flood":             rowsOf(floodMetrics()),
		"msggen":            rowsOf(msggenMetrics()),
		"soak":              rowsOf(soakMetrics()),
		"chaos":             rowsOf(chaosMetrics()),
		"memlog":            rowsOf(memlogMetrics()),
		"msggen --find-max": rowsOf(findMaxMetrics()),
	}
}

// promiseRow is a metric of any table.
type promiseRow struct {
	promise.Metric
	found, live bool
}

func rowsOf[R, P any](m metrics[R, P]) []promiseRow {
	var out []promiseRow
	for _, k := range m {
		out = append(out, promiseRow{k.Metric, k.found != nil, k.live != nil})
	}
	return out
}

// cells are all of the row of docs/promises.md but its names.
func (r promiseRow) cells() string {
	unit := map[promise.Unit]string{promise.Milliseconds: "time", promise.Bytes: "memory", promise.BytesPerHour: "growth", promise.PerSecond: "rate",
		promise.Fraction: "share"}[r.Unit]
	when := "at the end"
	if r.live {
		when = ""
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", unit, r.Of, when, r.Help)
}

// markdown is a table of docs/promises.md. Metrics that differ by name only share a row.
func markdown(table []promiseRow) string {
	var b strings.Builder
	b.WriteString("| metric | unit | of | when | is |\n|---|---|---|---|---|\n")
	for i, k := range table {
		if i == 0 || k.cells() != table[i-1].cells() {
			b.WriteString("| ")
		}
		fmt.Fprintf(&b, "`%s` ", k.Name)
		if i == len(table)-1 || k.cells() != table[i+1].cells() {
			b.WriteString(k.cells() + "\n")
		}
	}
	return b.String()
}

// Each table is whole: names are names and there once, and what is a share is a share of something in the same table. The page has it.
func TestMetricTables(t *testing.T) {
	for command, table := range tables() {
		names := map[string]promiseRow{}
		for _, k := range table {
			if _, twice := names[k.Name]; twice || k.Help == "" || !k.found {
				t.Errorf("%s: %+v: twice, without help, or never found", command, k)
			}
			names[k.Name] = k
			if _, err := promise.Parse(k.Name+">0", promise.Metrics{k.Metric}); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
		for _, k := range table {
			if _, ok := names[k.Of]; k.Of != "" && !ok {
				t.Errorf("%s: %s is a share of %q, which is not there", command, k.Name, k.Of)
			}
		}
	}
}

const promisesPage = "../../docs/promises.md"

// docs/promises.md lists what the commands know; -update writes its tables anew.
func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile(promisesPage)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for command, table := range tables() {
		before, section, found := strings.Cut(text, "\n### "+command+"\n")
		old, after, more := strings.Cut(section, "\n\n")
		if !found {
			t.Errorf("%s has no section %q", promisesPage, command)
			continue
		}
		want := markdown(table)
		if strings.TrimSpace(old) != strings.TrimSpace(want) && !*update {
			t.Errorf("%s is not what %s knows; go test ./cmd/cometctl -run TestMetricsPage -update, and look at it", promisesPage, command)
		}
		text = before + "\n### " + command + "\n" + want
		if more {
			text += "\n" + after
		}
	}
	if *update {
		if err := os.WriteFile(promisesPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// values looks everything up, as text.
func values(known promise.Metrics, lookup promise.Lookup) map[string]string {
	out := map[string]string{}
	for _, k := range known {
		if v, ok := lookup(k.Name); ok {
			out[k.Name] = fmt.Sprint(v)
		}
	}
	return out
}

func TestFloodMetrics(t *testing.T) {
	m := floodMetrics()
	nothing := values(m.known(false), m.of(floodEnd{Result: flood.Result{Asked: 10, Open: 7, Failed: 2, ClosedEarly: 1}}))
	if got := fmt.Sprint(nothing); got != "map[asked:10 closed_early:1 failed:2 open:7 reconnects:0 sent:0]" {
		t.Errorf("without a message there is %s", got)
	}
	p := &timing.Percentiles{P50: 1, P90: 2, P99: 3, P999: 4, Max: 5, Mean: 1.5}
	all := floodEnd{Result: flood.Result{Asked: 10, Open: 7, Failed: 2, ClosedEarly: 1, Messages: 90, Missing: 10, Duplicated: 3, Reordered: 4, Corrupt: 2, Reconnects: 6,
		OpenPerS: 8, Client: strain.Client{CPU: 0.42}, Connect: p, TLS: p, TTFB: p, Latency: p, Lag: p, Service: p}, rate: rateMeter{perS: 9, measured: true}}
	all.Recovery = &flood.Recovery{Cuts: []flood.Cut{{Back50: new(10.0), Back95: new(20.0), Back100: new(30.0), Missed: 1, Recovered: 2},
		{Back50: new(11.0), Back95: new(19.0), Back100: new(31.0), Missed: 10}}}
	got := values(m.known(false), m.of(all))
	if len(got) != len(m) {
		t.Errorf("of %d metrics %d were measured: %v", len(m), len(got), got)
	}
	for name, want := range map[string]string{"p999": "4", "connect_p50": "1", "ttfb_mean": "1.5", "missing": "10", "sent": "100", "received": "90", "duplicated": "3",
		"back_50": "11", "back_95": "20", "back_100": "31", "missed": "11", "recovered": "2",
		"reordered": "4", "corrupt": "2", "lag_p99": "3", "service_p50": "1", "reconnects": "6", "open_rate": "8", "cpu": "0.42", "rate": "9", "closed_early": "1"} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	now := floodNow{Progress: flood.Progress{Phase: flood.Ramp, Asked: 10, Open: 7, Missing: 1, Messages: 3, Latency: p}}
	got = values(m.known(true), m.during(now))
	if _, ok := got["open"]; ok || got["missing"] != "1" || got["sent"] != "4" || got["max"] != "5" || got["rate"] != "" {
		t.Errorf("during the ramp: %v", got)
	}
	now.Phase = flood.Hold
	if got = values(m.known(true), m.during(now)); got["open"] != "7" {
		t.Errorf("during the hold: %v", got)
	}
}

func TestMsggenMetrics(t *testing.T) {
	m := msggenMetrics()
	r := msggen.Result{Sent: 90, Accepted: 80, Bad: 4, Unconfirmed: 6, Unsent: 10, Late: 5, Reconnects: 2, Resent: 3, Rate: 1000, Lag: timing.Percentiles{P99: 3},
		Ledger: &msggen.Ledger{Delivered: 70, Offline: 1, Dropped: 2, Gone: 3, Unpublished: 4, Overrun: 5}, Asked: msggen.Asked{Rate: 1000}}
	got := values(m.known(false), m.of(r))
	if len(got) != len(m) {
		t.Errorf("of %d metrics %d were measured: %v", len(m), len(got), got)
	}
	for name, want := range map[string]string{"lag_p99": "3", "sent": "90", "due": "100", "unsent": "10", "late": "5", "accepted": "80", "bad": "4", "unconfirmed": "6",
		"reconnects": "2", "resent": "3", "rate": "1000", "delivered": "70", "offline": "1", "dropped": "2", "gone": "3", "unpublished": "4", "overrun": "5"} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	r.Asked.Rate, r.Ledger = 0, nil
	got = values(m.known(false), m.of(r))
	for _, name := range []string{"lag_p50", "delivered", "offline"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s was measured without a rate, or a ledger", name)
		}
	}
	now := values(m.known(true), m.during(msggen.Progress{Sent: 9, Bad: 1, Late: 2, Reconnects: 3, Rate: 7.5}))
	if fmt.Sprint(now) != "map[bad:1 late:2 rate:7.5 reconnects:3 sent:9]" {
		t.Errorf("while it runs: %v", now)
	}
}

// What a promise speaks of is no failure by itself.
func TestExcused(t *testing.T) {
	for _, c := range []struct {
		result msggen.Result
		failIf []string
		want   bool
	}{
		{msggen.Result{Unsent: 1}, nil, false},
		{msggen.Result{Unsent: 1}, []string{"unsent>10"}, true},
		{msggen.Result{Unsent: 1, Bad: 1}, []string{"unsent>10"}, false},
		{msggen.Result{Unsent: 1, Bad: 1, Unconfirmed: 1}, []string{"unsent>10", "bad>5", "unconfirmed>5"}, true},
		{msggen.Result{Unsent: 1, Bad: 1}, []string{"accepted<99%"}, true},
	} {
		p, err := parsePromises(msggenMetrics(), promiseOptions{failIf: c.failIf})
		if err != nil {
			t.Fatal(err)
		}
		if got := excused(msggen.ErrIncomplete, c.result, p); got != c.want || excused(errInterrupted, c.result, p) {
			t.Errorf("%+v with %q is excused: %v, want %v; and no other error is", c.result, c.failIf, got, c.want)
		}
	}
}

// While a run goes on, nothing is a share of what is known at its end only.
func TestLiveShares(t *testing.T) {
	for _, c := range []struct {
		abortOn, wrong string
	}{
		{"duplicated>0", ""},
		{"duplicated>1%", `"%" at 13 is no unit of duplicated; give a number; duplicated>1% is known at the end only: --fail-if takes it`},
		{"lost>1%", `"lost" at 1 is no metric here; there are delivered, duplicated; lost>1% is known at the end only`},
	} {
		_, err := parsePromises(chaosMetrics(), promiseOptions{abortOn: []string{c.abortOn}})
		if got := fmt.Sprint(err); c.wrong == "" && err != nil || !strings.Contains(got, c.wrong) || c.wrong != "" && codeOf(err) != exitUsage {
			t.Errorf("--abort-on %s: %v, want %s", c.abortOn, err, c.wrong)
		}
	}
}

func TestMemlogMetrics(t *testing.T) {
	seen := new(memlogSeen)
	for i := range 10_000 {
		seen.add(memlog.Sample{Elapsed: time.Duration(i) * time.Second, RSS: 1000 + int64(i), Anon: 5, PSS: 6, Slab: 7, SockBuf: 8, Conns: int64(100 - i%7), FDs: 9,
			CPU: time.Duration(i) * time.Second / 4, Threads: 3, Procs: 2})
	}
	m := memlogMetrics()
	got := values(m.known(false), m.of(seen))
	if len(got) != len(m) || len(seen.rss) > trendRows {
		t.Errorf("of %d metrics %d were measured: %v; %d rows are kept", len(m), len(got), got, len(seen.rss))
	}
	for name, want := range map[string]string{"rss": fmt.Sprint(10_999 * 1024.0), "peak_rss": fmt.Sprint(10_999 * 1024.0), "peak_conns": "100", "cpu": "0.25", "pss": "6144", "fds": "9",
		"elapsed": fmt.Sprint(9_999_000.0)} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	if slope, ok := m.of(seen)("slope_bytes_per_hour"); !ok || slope < 3600*1024*0.999 || slope > 3600*1024*1.001 {
		t.Errorf("slope %v, %v; want 3600 KB/h", slope, ok)
	}
	none := new(memlogSeen)
	none.add(memlog.Sample{RSS: 1, Anon: -1, PSS: -1, Slab: -1, SockBuf: -1, Conns: -1, FDs: -1, CPU: -1, Threads: -1, Procs: -1})
	if got := values(m.known(false), m.of(none)); fmt.Sprint(got) != "map[elapsed:0 peak_rss:1024 rss:1024]" {
		t.Errorf("of a row with a size only: %v", got)
	}
}

func TestRateMeter(t *testing.T) {
	var m rateMeter
	start := time.Unix(1000, 0)
	m.watch(flood.Progress{Phase: flood.Ramp, Messages: 50}, start)
	m.watch(flood.Progress{Phase: flood.Hold, Messages: 100}, start.Add(time.Second))
	if m.measured {
		t.Error("a rate was measured in no time")
	}
	m.watch(flood.Progress{Phase: flood.Drain, Messages: 400}, start.Add(3*time.Second))
	if !m.measured || m.perS != 150 {
		t.Errorf("%+v, want 150/s", m)
	}
}

// What is wrong anyway, what holds and what is not known have their order.
func TestPromiseError(t *testing.T) {
	own := errors.New("3 of 10 connections were not held")
	blind := &codedError{exitInconclusive, errors.New("the client was the bottleneck")}
	report := func(v promise.Verdict) *promise.Report { return &promise.Report{Verdict: v} }
	for _, c := range []struct {
		report *promise.Report
		own    error
		want   exitCode
	}{
		{nil, nil, exitOK},
		{nil, own, exitFailed},
		{report(promise.Pass), nil, exitOK},
		{report(promise.Pass), own, exitFailed},
		{report(promise.Fail), nil, exitVerdict},
		{report(promise.Fail), own, exitVerdict},
		{report(promise.Fail), errInterrupted, exitInterrupted},
		{report(promise.Fail), blind, exitInconclusive},
		{report(promise.Inconclusive), nil, exitInconclusive},
		{report(promise.Inconclusive), own, exitFailed},
		{report(promise.Inconclusive), errInterrupted, exitInterrupted},
	} {
		if got := codeOf(promiseError(c.report, c.own)); got != c.want {
			t.Errorf("%+v and %v: exit code %d, want %d", c.report, c.own, got, c.want)
		}
	}
}

// A run is watched often enough for --abort-on, and no more often than asked for without.
func TestPromisesWatched(t *testing.T) {
	for _, c := range []struct {
		every, want, judged time.Duration
	}{{0, 0, abortEvery}, {10 * time.Second, 10 * time.Second, abortEvery}, {time.Millisecond, time.Millisecond, time.Millisecond}} {
		var p promises[floodEnd, floodNow]
		if got := p.watched(c.every); got != c.want {
			t.Errorf("%v: watched each %v", c.every, got)
		}
		p.abortOn = make([]promise.Condition, 1)
		if got := p.watched(c.every); got != c.judged {
			t.Errorf("%v: watched each %v with --abort-on, want %v", c.every, got, c.judged)
		}
	}
}
