package report

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cometctl/internal/timing"
)

// goodEvidence is a run in which everything went as asked: 10,000 connections of 184 bytes, a minute of 1000 msg/s.
func goodEvidence() Evidence {
	t0 := time.Unix(1_700_000_000, 0)
	at := func(from, to int) Span {
		return Span{t0.Add(time.Duration(from) * time.Second), t0.Add(time.Duration(to) * time.Second)}
	}
	e := Evidence{
		Asked:      Asked{Conns: 10_000, Rate: 1000, DurationS: 60},
		Phases:     Phases{Empty: at(0, 4), Idle: at(10, 14), Traffic: at(15, 75)},
		ClientHere: true,
		Flood: &FloodResult{Asked: 10_000, Open: 10_000, Messages: 60_000,
			LatencyMS: &timing.Percentiles{P50: 0.19, P90: 0.4, P99: 2.51, P999: 8.11, Max: 10.2, Mean: 0.25},
			LagMS:     &timing.Percentiles{P99: 0.11}, ServiceMS: &timing.Percentiles{P99: 2.48}},
		Msggen: &MsggenResult{Sent: 60_000, Accepted: 60_000, Rate: 999.9},
		Ledger: &Ledger{Sent: 60_000, Delivered: 60_000},
	}
	for s := range 80 {
		sample := Sample{Time: t0.Add(time.Duration(s) * time.Second), RSS: 8_000_000, Kernel: 20_000_000, CPU: time.Duration(s) * 250 * time.Millisecond}
		if s >= 5 {
			sample.RSS += 1_840_000
			sample.Kernel += 10_000 * 2 * 3900
			sample.Conns = 10_000
		}
		if s >= 20 && s <= 75 {
			sample.RSS += 500_000 // grows once and stays
		}
		e.Samples = append(e.Samples, sample)
	}
	return e
}

func TestSummarize(t *testing.T) {
	s := Summarize(goodEvidence())
	if s.Verdict != Pass {
		t.Errorf("verdict %s, %q; want pass", s.Verdict, s.Reasons)
	}
	m := s.Memory
	for name, c := range map[string][2]float64{
		"base":   {float64(*m.BaseRSS), 8_000_000},
		"idle":   {float64(*m.IdleRSS), 9_840_000},
		"peak":   {float64(*m.PeakRSS), 10_340_000},
		"end":    {float64(*m.EndRSS), 10_340_000},
		"user":   {*m.UserPerConn, 184},
		"kernel": {*m.KernelPerConn, 3900}, // one end of two
		"slope":  {*m.SlopePerHour, 0},     // a warm-up step is no leak
		"p99":    {*s.LatencyMS.P99, 2.51},
		"sent":   {float64(*s.Messages.Sent), 60_000},
		"rate":   {*s.Rate.Achieved, 999.9},
	} {
		if math.Abs(c[0]-c[1]) > 1e-6*c[1] {
			t.Errorf("%s is %v, want %v", name, c[0], c[1])
		}
	}
	e := goodEvidence()
	e.ClientHere = false
	if got := *Summarize(e).Memory.KernelPerConn; got != 7800 {
		t.Errorf("kernel bytes per connection with a client elsewhere: %v, want 7800", got)
	}
	for i := range e.Samples { // as if other programs closed their sockets while ours were opened
		e.Samples[i].Kernel = 1e12 - e.Samples[i].Kernel
	}
	if got := Summarize(e).Memory.KernelPerConn; got != nil {
		t.Errorf("kernel bytes per connection where the machine's shrank: %v, want none", *got)
	}
}

// manyNodes is a good run of four nodes whose memory log has PSS: half of it is shared.
func manyNodes() Evidence {
	e := goodEvidence()
	e.Nodes = 4
	e.Ledger = &Ledger{Sent: 60_000, Forwarded: 60_000, Received: 60_000, Delivered: 60_000}
	for i := range e.Samples {
		s := &e.Samples[i]
		s.PSS, s.Procs = s.RSS/2, 4
		if i%2 == 1 {
			s.PSS = -1 // it is not in every row
		}
	}
	return e
}

func TestSummarizeManyNodes(t *testing.T) {
	s := Summarize(manyNodes())
	m := s.Memory
	if s.Nodes != 4 || *m.Processes != 4 || *m.BasePSS != 4_000_000 || *m.IdlePSS != 4_920_000 || *m.EndPSS != 5_170_000 || *m.PeakPSS != 5_170_000 {
		t.Errorf("summary %+v", m)
	}
	if *m.UserPerConn != 92 {
		t.Errorf("user bytes per connection %v, want those of PSS, 92", *m.UserPerConn)
	}
	e := manyNodes()
	e.Nodes = 1
	if got := *Summarize(e).Memory.UserPerConn; got != 184 {
		t.Errorf("user bytes per connection of one process %v, want those of RSS, 184", got)
	}
	e = manyNodes()
	for i := range 5 {
		e.Samples[i].PSS = -1
	}
	if s := Summarize(e); *s.Memory.UserPerConn != 184 || s.Memory.BasePSS != nil {
		t.Errorf("without PSS of the empty server: %v a connection, want that of RSS, 184", *s.Memory.UserPerConn)
	}
	for nodes, want := range map[int64]bool{1: true, 4: false} {
		e := manyNodes()
		e.Nodes, e.Flood = nodes, nil
		if got := Summarize(e).Conns.Peak; (got != nil) != want {
			t.Errorf("without flood's result the connections of %d nodes are known: %v", nodes, got != nil)
		}
	}
	e = manyNodes()
	e.Ledger.Received, e.Ledger.Overrun, e.Ledger.Delivered, e.Flood.Messages = 59_990, 4, 59_990, 59_990
	if m := Summarize(e).Messages; *m.Lost != 6 || *m.Overrun != 4 || *m.Unpublished != 0 {
		t.Errorf("messages %+v", m)
	}
	if e.Flood.Messages = 59_992; *Summarize(e).Messages.Lost != 4 {
		t.Error("what the client received is counted as lost")
	}
	if e.Ledger.Received = 70_000; *Summarize(e).Messages.Lost != 0 {
		t.Error("what was received more than once is counted as lost")
	}
}

func TestLedgerPlus(t *testing.T) {
	var a, b Ledger
	va, vb := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()
	for i := range va.NumField() {
		va.Field(i).SetInt(int64(i + 1))
		vb.Field(i).SetInt(100)
	}
	sum := reflect.ValueOf(a.Plus(b))
	for i := range sum.NumField() {
		if got := sum.Field(i).Int(); got != int64(i+101) {
			t.Errorf("%s is %d, want %d", sum.Type().Field(i).Name, got, i+101)
		}
	}
}

func TestSlopeOfAShortRun(t *testing.T) {
	t0 := time.Unix(1_700_000_000, 0)
	for n, known := range map[int]bool{3: false, 30: false, 31: true} {
		samples := make([]Sample, n)
		for i := range samples {
			samples[i] = Sample{Time: t0.Add(time.Duration(i) * time.Second), RSS: int64(i)}
		}
		if got := slopePerHour(samples, Span{t0, t0.Add(time.Hour)}); (got != nil) != known {
			t.Errorf("%d samples in as many seconds: slope is known: %t, want %t", n, got != nil, known)
		}
	}
}

func TestSlope(t *testing.T) {
	t0 := time.Unix(1_700_000_000, 0)
	grow := func(n int, step time.Duration, perHour float64) ([]Sample, Span) {
		var all []Sample
		for i := range n {
			d := time.Duration(i) * step
			all = append(all, Sample{Time: t0.Add(d), RSS: 1e9 + int64(perHour*d.Hours())})
		}
		return all, Span{t0, t0.Add(time.Duration(n) * step)}
	}
	for _, c := range []struct {
		n       int
		step    time.Duration
		perHour float64
	}{{3, time.Minute, 6e6}, {60, time.Second, -6e6}, {1440, time.Minute, 1e6}, {86_400, time.Second, 12345}} {
		all, span := grow(c.n, c.step, c.perHour)
		all[c.n/2].RSS *= 3 // one outlier changes nothing much
		got := slopePerHour(all, span)
		if c.n > 3 && math.Abs(*got-c.perHour) > 0.02*math.Abs(c.perHour) {
			t.Errorf("%d samples each %s: slope %v, want %v", c.n, c.step, *got, c.perHour)
		}
	}
	all, span := grow(2, time.Second, 1e6)
	if got := slopePerHour(all, span); got != nil {
		t.Errorf("two samples give a slope of %v, want none", *got)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*Evidence)
		verdict Verdict
		reasons []string // the beginnings of all reasons, in order
	}{
		{"all good", func(*Evidence) {}, Pass, []string{"All 10,000 connections opened", "All 60,000 messages arrived"}},
		{"reordered", func(e *Evidence) { e.Flood.Reordered = 1 }, Pass, []string{"All ", "All ", "1 message arrived after"}},
		{"failed", func(e *Evidence) { e.Flood.Failed, e.Flood.Open = 1, 9999 }, Fail, []string{"1 of 10,000 connections failed to open."}},
		{"causes", func(e *Evidence) {
			e.Flood.Failed, e.Flood.Open, e.Flood.FailedBy = 9, 9991, map[string]int64{"refused": 2, "timeout": 5, "reset": 2}
		}, Fail, []string{"9 of 10,000 connections failed to open (timeout 5, refused 2, reset 2)."}},
		{"ended early", func(e *Evidence) { e.Flood.ClosedEarly = 3 }, Fail, []string{"3 of 10,000 connections ended before"}},
		{"never tried", func(e *Evidence) { e.Flood.Open = 9000 }, Fail, []string{"No more than 9,000 of 10,000 connections"}},
		{"gap", func(e *Evidence) { e.Flood.Missing, e.Flood.Messages = 2, 59_998 }, Fail, []string{"2 of 60,000 messages never arrived."}},
		{"lost last message", func(e *Evidence) { e.Flood.Messages = 59_999 }, Fail, []string{"1 of 60,000 messages never arrived."}},
		{"not confirmed", func(e *Evidence) { e.Msggen.Accepted, e.Flood.Messages = 59_990, 59_995 }, Fail,
			[]string{"5 of 60,000 messages never arrived (10 not confirmed by the server)."}},
		{"lost and doubled", func(e *Evidence) { e.Flood.Duplicated, e.Flood.Messages = 1, 59_999 }, Fail,
			[]string{"1 of 60,000 messages never arrived.", "1 message arrived more than once."}},
		{"doubled", func(e *Evidence) { e.Flood.Duplicated = 5 }, Fail, []string{"5 messages arrived more than once."}},
		{"lost by the server", func(e *Evidence) {
			e.Flood.Messages, e.Ledger = 59_994, &Ledger{Sent: 60_000, Delivered: 59_994, Offline: 1, Dropped: 2, Gone: 3}
		}, Fail, []string{"6 of 60,000 messages never", "1 message found nobody", "2 messages met a connection", "3 messages lost the connection"}},
		{"lost between nodes", func(e *Evidence) {
			e.Nodes, e.Flood.Messages = 3, 59_989
			e.Ledger = &Ledger{Sent: 60_000, Forwarded: 59_999, Unpublished: 1, Received: 59_989, Delivered: 59_989, Overrun: 3}
		}, Fail, []string{"11 of 60,000 messages never", "7 messages got lost in transit", "3 messages fell to NATS's limits", "1 message for another node could not"}},
		{"almost the rate", func(e *Evidence) { e.Msggen.Rate = 990 }, Pass, []string{"All ", "All "}},
		{"too slow", func(e *Evidence) { e.Msggen.Rate = 989.9 }, Fail, []string{"The generator sent 989.9 messages/s, 99.0 % of the 1,000/s asked."}},
		{"as fast as it goes", func(e *Evidence) { e.Asked.Rate = 0 }, Pass, []string{"All ", "All "}},
		{"broken", func(e *Evidence) { e.Failures = []string{"The server ended by itself."}; e.Flood.ClosedEarly = 1 }, Fail,
			[]string{"The server ended by itself.", "1 of 10,000 connections ended"}},
		{"interrupted", func(e *Evidence) { e.Interrupted = "Interrupted."; e.Flood.Messages = 1 }, Inconclusive,
			[]string{"Interrupted.", "59,999 of 60,000 messages never"}},
		{"no samples", func(e *Evidence) { e.Samples = nil }, Inconclusive, []string{"There is no sample of the server's memory."}},
		{"no sample while empty", func(e *Evidence) { e.Phases.Empty = Span{} }, Inconclusive, []string{"No sample of the server's memory was taken while"}},
		{"no sample on the plateau", func(e *Evidence) { e.Phases.Idle = Span{} }, Inconclusive, []string{"No sample of the server's memory was taken on"}},
		{"no message", func(e *Evidence) {
			*e.Msggen, *e.Ledger, e.Flood.Messages, e.Flood.LatencyMS = MsggenResult{}, Ledger{}, 0, nil
		}, Inconclusive,
			[]string{"No message was sent"}},
		{"no flood", func(e *Evidence) { e.Flood = nil }, Inconclusive, []string{"flood left no result"}},
		{"no msggen", func(e *Evidence) { e.Msggen = nil }, Inconclusive, []string{"msggen left no result"}},
		{"nothing", func(e *Evidence) { *e = Evidence{Asked: e.Asked} }, Inconclusive,
			[]string{"flood left no result", "There is no sample", "msggen left no result"}},
		{"failed without samples", func(e *Evidence) { e.Samples = nil; e.Flood.Failed = 2 }, Fail,
			[]string{"2 of 10,000 connections failed", "There is no sample"}},
		{"spoilt", func(e *Evidence) { e.Flood.Corrupt, e.Flood.Messages, e.Flood.Missing = 2, 59_998, 2 }, Fail,
			[]string{"2 of 60,000 messages never", "2 messages came spoilt"}},

		// A condition decides of what it is about, and nothing else.
		{"kept", func(e *Evidence) { e.FailIf = []string{"p99>3ms", "missing>0", "server_cpu>30%", "lag_p99>1ms"} }, Pass, []string{"All ", "All "}},
		{"held", func(e *Evidence) { e.FailIf = []string{"p99>2ms", "rate<99%"} }, Fail, []string{"p99>2ms holds: p99 is 2.51 ms."}},
		{"held, and broken too", func(e *Evidence) { e.FailIf = []string{"p99>2ms"}; e.Flood.Failed = 1 }, Fail,
			[]string{"p99>2ms holds", "1 of 10,000 connections failed"}},
		{"allowed", func(e *Evidence) {
			e.FailIf = []string{"failed>1%", "missing>1%"}
			e.Flood.Failed, e.Flood.Open, e.Flood.Messages = 3, 9997, 59_990
		}, Pass, []string{"Of 10,000 connections, 3 failed", "Of 60,000 messages, 10 never arrived and 0 more"}},
		{"more than allowed", func(e *Evidence) { e.FailIf = []string{"missing>1%"}; e.Flood.Messages = 59_000 }, Fail,
			[]string{"missing>1% holds: missing is 1000 (1.667 %)."}},
		{"allowed, and something else", func(e *Evidence) { e.FailIf = []string{"missing>1%"}; e.Flood.Messages, e.Flood.Duplicated = 59_990, 1 }, Fail,
			[]string{"1 message arrived more than once."}},
		{"not measured", func(e *Evidence) {
			e.FailIf = []string{"lost>0", "slope_bytes_per_hour>1MiB"}
			e.Ledger, e.Samples = nil, e.Samples[:20]
		}, Inconclusive,
			[]string{"lost>0 cannot be judged: lost was not measured.", "slope_bytes_per_hour>1MiB cannot be judged"}},
		{"from another version", func(e *Evidence) { e.FailIf = []string{"quality<9"} }, Inconclusive, []string{"quality<9 cannot be judged: nobody knows what it is about."}},
		{"aborted", func(e *Evidence) { e.Aborted = "After 3s the run was ended." }, Fail, []string{"After 3s"}},
		{"aborted and interrupted", func(e *Evidence) { e.Aborted, e.Interrupted = "After 3s the run was ended.", "Interrupted." }, Inconclusive,
			[]string{"Interrupted.", "After 3s"}},
		{"no ledger", func(e *Evidence) { e.Ledger = nil }, Pass, []string{"All ", "All "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := goodEvidence()
			c.change(&e)
			s := Summarize(e)
			if s.Verdict != c.verdict {
				t.Errorf("verdict %s, want %s", s.Verdict, c.verdict)
			}
			if !slices.EqualFunc(s.Reasons, c.reasons, strings.HasPrefix) {
				t.Errorf("reasons\n  %q\nwant beginnings\n  %q", s.Reasons, c.reasons)
			}
			for _, r := range s.Reasons {
				if !strings.HasSuffix(r, ".") {
					t.Errorf("%q is no full sentence", r)
				}
			}
			// Whoever reads summary.json comes to the same verdict, and any summary can be shown.
			var again Summary
			b, err := json.Marshal(s)
			if err == nil {
				err = json.Unmarshal(b, &again)
			}
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := Judge(again, e.Course); v != c.verdict {
				t.Errorf("verdict from the file: %s, want %s", v, c.verdict)
			}
			var out strings.Builder
			if err := Table(&out, s); err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(out.String(), "\n") {
				if utf8.RuneCountInString(line) > tableWidth {
					t.Errorf("a line of the table is too wide: %q", line)
				}
			}
		})
	}
}

// The keys of summary.json are an interface: scripts read them.
func TestSummaryKeys(t *testing.T) {
	b, err := json.Marshal(Summarize(Evidence{}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"nodes":0,"conns":{"asked":0,"peak":null,"failed":null,"closed_early":null},` +
		`"memory":{"base_rss_bytes":null,"idle_rss_bytes":null,"peak_rss_bytes":null,"end_rss_bytes":null,` +
		`"base_pss_bytes":null,"idle_pss_bytes":null,"peak_pss_bytes":null,"end_pss_bytes":null,"processes":null,` +
		`"user_bytes_per_conn":null,"kernel_bytes_per_conn":null,"slope_bytes_per_hour":null},` +
		`"messages":{"sent":null,"delivered":null,"received":null,"offline":null,"dropped":null,"gone":null,` +
		`"lost":null,"overrun":null,"unpublished":null,"missing":null,"duplicated":null,"reordered":null,"corrupt":null},` +
		`"latency_ms":{"p50":null,"p90":null,"p99":null,"p999":null,"max":null,"mean":null},` +
		`"lag_ms":{"p50":null,"p90":null,"p99":null,"p999":null,"max":null,"mean":null},` +
		`"service_ms":{"p50":null,"p90":null,"p99":null,"p999":null,"max":null,"mean":null},` +
		`"rate":{"asked":0,"achieved":null},"duration_s":{"asked":0,"achieved":null},"server_cpu":null,"verdict":"inconclusive","reasons":[`
	if !strings.HasPrefix(string(b), want) {
		t.Errorf("summary.json of no evidence is\n%s\nwant it to begin with\n%s", b, want)
	}
}

func TestTableGolden(t *testing.T) {
	bad := goodEvidence()
	bad.Interrupted = "The run was interrupted in its traffic phase, after 12 of 60 s, so neither loss nor rate are those of a whole run."
	bad.Flood.Failed, bad.Flood.Open, bad.Msggen.Rate = 12, 9_988, 851
	for i := range bad.Samples {
		bad.Samples[i].Kernel = -1
	}
	few := goodEvidence()
	few.Asked.Conns, few.Flood.Asked, few.Flood.Open = 1_999, 1_999, 1_999
	nodes := manyNodes()
	nodes.Ledger.Received, nodes.Ledger.Overrun, nodes.Ledger.Delivered, nodes.Flood.Messages = 59_990, 4, 59_990, 59_990
	for name, e := range map[string]Evidence{"foreign": foreignEvidence(), "nodes": nodes, "pass": goodEvidence(), "interrupted": bad, "few": few} {
		var out strings.Builder
		if err := Table(&out, Summarize(e)); err != nil {
			t.Fatal(err)
		}
		golden := "testdata/" + name + ".golden.txt"
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != strings.ReplaceAll(string(want), "\r\n", "\n") {
			t.Errorf("the table of %s is\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 184.4: "184 B", 999: "999 B", 1000: "1.0 KB", 3994: "3.9 KB", 10 << 20: "10 MB",
		9.96 * (1 << 20): "10 MB", -2 << 20: "-2.0 MB", 1.92e9: "1.8 GB", 5e18: "4547474 TB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%v) is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0", 999.96: "1,000", 1234567.84: "1,234,567.8", -1234: "-1,234", -123: "-123"} {
		if got := decimal(n); got != want {
			t.Errorf("decimal(%v) is %q, want %q", n, got, want)
		}
	}
}
