package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"cometctl/server/router"
)

// scrape is what a server's /metrics says: samples by name and labels, types by name.
type scrape struct {
	samples map[string]float64
	types   map[string]string
	text    string
}

func scrapeOf(t *testing.T, s *Server) scrape {
	t.Helper()
	a := admin(t, s, "GET", "/metrics", "", nil)
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8") {
		t.Fatalf("%d %v %.200s", a.status, a.header, a.body)
	}
	m := scrape{map[string]float64{}, map[string]string{}, a.body}
	for line := range strings.Lines(a.body) {
		line = strings.TrimSuffix(line, "\n")
		if words := strings.Fields(line); words[0] == "#" {
			if words[1] == "TYPE" {
				m.types[words[2]] = words[3]
			}
			continue
		}
		cut := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[cut+1:], 64)
		if _, twice := m.samples[line[:cut]]; err != nil || twice {
			t.Fatalf("%q: %v, twice: %t", line, err, twice)
		}
		m.samples[line[:cut]] = v
	}
	return m
}

// ours are the series of the server itself: those of the Go runtime come as they please.
func (m scrape) ours() (all []string) {
	for name := range m.samples {
		if strings.HasPrefix(name, "cometctl_") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// lonely is a cluster of one node.
type lonely struct {
	Cluster // the rest of it, which nobody asks for
	local   *router.Local
}

func (l lonely) Login(id []byte, s router.Session) error { return l.local.Login(id, s) }
func (l lonely) Logout(s router.Session)                 { l.local.Logout(s) }
func (l lonely) Send(id, msg []byte, tag uint64) (router.Receipt, error) {
	return l.local.Send(id, msg, tag)
}

func (l lonely) SendConfirmed(_ context.Context, id, msg []byte, tag uint64) (router.Confirmation, error) {
	r, err := l.Send(id, msg, tag)
	return router.Confirmation{Receipt: r}, err
}
func (lonely) Settle(context.Context) error { return nil }
func (l lonely) Local() router.Stats        { return l.local.Stats() }
func (lonely) Ready() error                 { return nil }
func (lonely) Status() ClusterStats {
	return ClusterStats{Node: "a", Connected: true, Subscribed: 3, Waiting: 4, Overrun: 5, Outages: 6, SlowConsumers: 7}
}
func (lonely) Close() {}

// eachKind runs a test for each kind of server that has metrics of its own.
func eachKind(t *testing.T, f func(t *testing.T, s *Server)) {
	for name, cfg := range map[string]Config{
		"alone": {},
		"node": {Join: func(h Hooks) (Cluster, error) {
			return lonely{local: router.NewLocal(h.Deliver)}, nil
		}},
		"family": {Family: func() (Family, error) { return &kin{}, nil }},
	} {
		t.Run(name, func(t *testing.T) { f(t, start(t, cfg)) })
	}
}

// Names and helps are as Prometheus wants them.
func TestMetricsLint(t *testing.T) {
	eachKind(t, func(t *testing.T, s *Server) {
		m := scrapeOf(t, s)
		problems, err := promlint.New(strings.NewReader(m.text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		if problems, err = promlint.New(strings.NewReader("# HELP x_total t\n# TYPE x_total gauge\nx_total 1\n")).Lint(); err != nil || len(problems) == 0 {
			t.Errorf("the lint takes everything: %v", err)
		}
	})
}

// Whatever happens, the series stay those of the first scrape.
func TestMetricsAreFixed(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, MaxConns: 8, HeadTimeout: 50 * time.Millisecond})
		before := scrapeOf(t, s).ours()
		dial(t, s).stream("1")
		publish(t, s, "1\tx\n2\ty\n")
		b := dial(t, s)
		b.say("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		b.rest()
		b = dial(t, s)
		b.say("NONSENSE\r\n\r\n")
		b.rest()
		b.Close()
		b = dial(t, s)
		b.say("GET /te")
		b.rest()
		until(t, "one too many was refused", func() bool {
			dial(t, s)
			return s.Stats().Conns.Refused > 0 && s.Stats().Conns.ClosedBy[causeBadRequest] > 0
		})
		after := scrapeOf(t, s)
		if got := after.ours(); !slices.Equal(got, before) {
			t.Errorf("series became\n%q, were\n%q", got, before)
		}
		for _, want := range []string{`cometctl_requests_refused_total{cause="full"}`, `cometctl_requests_refused_total{cause="not_found"}`,
			`cometctl_requests_refused_total{cause="bad_request"}`, `cometctl_requests_refused_total{cause="timeout_head"}`, `cometctl_connections_closed_total{cause="bad_request"}`} {
			if after.samples[want] < 1 {
				t.Errorf("%s is %v", want, after.samples[want])
			}
		}
	})
}

// statsPaths says where /stats has what a metric has. What is not here is not in both.
var statsPaths = map[string]string{
	"cometctl_connections_max":                   "conns.max",
	"cometctl_connections_waiting":               "conns.waiting",
	"cometctl_connections_accepted_total":        "conns.accepted",
	"cometctl_streams_total":                     "conns.streams",
	"cometctl_router_sessions":                   "router.sessions",
	"cometctl_router_ids":                        "router.ids",
	"cometctl_router_logins":                     "router.logins",
	"cometctl_pending_bytes":                     "conns.pending_bytes",
	"cometctl_messages_replayed_total":           "ledger.replayed",
	"cometctl_history_ids":                       "history.ids",
	"cometctl_history_messages":                  "history.messages",
	"cometctl_history_bytes":                     "history.bytes",
	"cometctl_history_reserved_bytes":            "history.reserved",
	"cometctl_history_max_bytes":                 "history.total",
	"cometctl_history_evicted_total":             "history.evicted",
	"cometctl_history_expired_total":             "history.expired",
	"cometctl_history_resumes_total":             "history.resumed",
	"cometctl_history_gaps_total":                "history.gaps",
	"cometctl_messages_sent_total":               "ledger.sent",
	"cometctl_messages_offline_total":            "ledger.offline",
	`cometctl_copies_total{outcome="begun"}`:     "ledger.copies",
	`cometctl_copies_total{outcome="delivered"}`: "ledger.delivered",
	`cometctl_copies_total{outcome="dropped"}`:   "ledger.dropped",
	`cometctl_copies_total{outcome="gone"}`:      "ledger.gone",
	"cometctl_copies_pending":                    "ledger.pending",
	"cometctl_received_bytes_total":              "work.loop.in_bytes",
	"cometctl_sent_bytes_total":                  "work.loop.out_bytes",
	"cometctl_loop_turn_events":                  "work.loop.batch",
	"cometctl_loop_turn_duration_seconds":        "work.loop.turn_s",
	"cometctl_loop_lag_seconds":                  "work.loop.lag_s",
	"cometctl_message_write_duration_seconds":    "work.loop.written_s",
	"cometctl_login_duration_seconds":            "work.login_s",
	"cometctl_send_duration_seconds":             "work.send_s",
	"cometctl_messages_forwarded":                "ledger.forwarded",
	"cometctl_messages_received_total":           "ledger.received",
	"cometctl_messages_unpublished_total":        "ledger.unpublished",
	"cometctl_messages_overrun_total":            "ledger.overrun",
	"cometctl_cluster_subscribed_ids":            "cluster.subscribed",
	"cometctl_cluster_waiting_logins":            "cluster.waiting",
	"cometctl_cluster_outages_total":             "cluster.outages",
	"cometctl_cluster_slow_consumers_total":      "cluster.slow_consumers",
	`cometctl_worker_connections{worker="1"}`:    "workers.1.conns.open",
	`cometctl_worker_restarts_total{worker="1"}`: "workers.1.restarts",
}

// At rest /stats and /metrics say the same, and everything that one has the other has, but for what is said in another way.
func TestStatsAndMetrics(t *testing.T) {
	inAnotherWay := regexp.MustCompile(`^cometctl_(memory_bytes|gc_cycles_total|uptime_seconds|draining|cluster_connected|workers|worker_.*worker="0")`)
	eachKind(t, func(t *testing.T, s *Server) {
		if s.Comet().IsValid() && s.family == nil {
			dial(t, s).stream("1")
			dial(t, s).stream("1")
			publish(t, s, "1\tx\n2\ty\n")
			until(t, "both are delivered", func() bool { return s.Stats().Ledger.Delivered == 2 })
		}
		var series map[string]float64
		var m scrape
		until(t, "nothing moves", func() bool {
			series, m = stats(t, s), scrapeOf(t, s)
			return maps.Equal(series, stats(t, s))
		})
		for _, name := range m.ours() {
			want, known := series[name]
			if !known && !inAnotherWay.MatchString(name) {
				t.Errorf("/stats does not have %s", name)
			}
			if known && m.samples[name] != want {
				t.Errorf("%s is %v in /metrics and %v in /stats", name, m.samples[name], want)
			}
		}
	})
}

// stats is what /stats says, by the names that /metrics has for it.
func stats(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(admin(t, s, "GET", "/stats", "", nil).body), &doc); err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	conns := doc["conns"].(map[string]any)
	for dialect, phases := range conns["by"].(map[string]any) {
		for phase, n := range phases.(map[string]any) {
			series[fmt.Sprintf("cometctl_connections{protocol=%q,state=%q}", dialect, phase)] = n.(float64)
		}
	}
	for name, key := range map[string]string{"requests_refused": "refused_by", "connections_closed": "closed_by"} {
		for cause, n := range conns[key].(map[string]any) {
			series[fmt.Sprintf("cometctl_%s_total{cause=%q}", name, cause)] = n.(float64)
		}
	}
	for name, path := range statsPaths {
		var at any = doc
		for _, key := range strings.Split(path, ".") {
			switch in := at.(type) {
			case map[string]any:
				at = in[key]
			case []any:
				i, _ := strconv.Atoi(key)
				at = in[i]
			}
		}
		switch v := at.(type) {
		case float64:
			series[name] = v
		case nil:
			series[name] = 0 // left out where it is none
		case map[string]any:
			series[name+"_count"], series[name+"_sum"] = v["count"].(float64), v["sum"].(float64)
			series[name+`_bucket{le="+Inf"}`] = v["count"].(float64)
			for _, b := range v["buckets"].([]any) {
				b := b.(map[string]any)
				series[fmt.Sprintf(`%s_bucket{le="%v"}`, name, b["le"])] = b["n"].(float64)
			}
		}
	}
	return series
}

// docs/metrics.md has every metric with its labels and type, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	f, err := os.Open("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(dialectNames[:], phaseNames[1:], causeNames[:]) {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the label value %s is not documented", name)
		}
	}
	row := regexp.MustCompile("^\\| `(cometctl_[a-z_]+)(?:\\{([a-z_, ]+)\\})?` \\| (gauge|counter|histogram) \\|")
	documented := map[string]string{} // type and labels by name
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m := row.FindStringSubmatch(lines.Text()); m != nil {
			documented[m[1]] = m[3] + " " + m[2]
		} else if strings.HasPrefix(lines.Text(), "| `cometctl_") {
			t.Errorf("a row that cannot be read: %s", lines.Text())
		}
	}
	shown := map[string]string{}
	label := regexp.MustCompile(`([a-z_]+)="`)
	eachKind(t, func(t *testing.T, s *Server) {
		m := scrapeOf(t, s)
		for name := range m.samples {
			family, rest, _ := strings.Cut(name, "{")
			if kind, ok := m.types[family]; ok && strings.HasPrefix(name, "cometctl_") {
				var labels []string
				for _, l := range label.FindAllStringSubmatch(rest, -1) {
					labels = append(labels, l[1])
				}
				shown[family] = kind + " " + strings.Join(labels, ", ")
			}
		}
		for family, kind := range m.types {
			if kind == "histogram" && strings.HasPrefix(family, "cometctl_") {
				shown[family] = "histogram "
			}
		}
	})
	for name, what := range shown {
		if documented[name] != what {
			t.Errorf("%s is a %s, documented as %q", name, what, documented[name])
		}
	}
	for name := range documented {
		if _, ok := shown[name]; !ok {
			t.Errorf("%s is documented, and there is none", name)
		}
	}
}

// The process's own numbers have the names that every dashboard knows.
func TestMetricsOfTheProcess(t *testing.T) {
	m := scrapeOf(t, start(t, Config{}))
	if m.samples["go_goroutines"] < 1 || m.samples["process_start_time_seconds"] <= 0 && runtime.GOOS == "linux" {
		t.Errorf("%v", m.samples)
	}
	if runtime.GOOS == "linux" && (m.samples["process_open_fds"] < 5 || m.samples["process_resident_memory_bytes"] < 1<<20) {
		t.Errorf("the process has %v descriptors and %v bytes", m.samples["process_open_fds"], m.samples["process_resident_memory_bytes"])
	}
}
