package report

import (
	"strings"
	"testing"

	"cometctl/internal/promise"
)

// A time that is too long may be the client's fault, where the client says so; other figures are not.
func TestPromisesInDoubt(t *testing.T) {
	for _, c := range []struct {
		failIf   []string
		doubtful string
		want     Verdict
	}{
		{[]string{"p99>2ms"}, "", Fail},
		{[]string{"p99>2ms"}, "latency", Inconclusive},
		{[]string{"p99>3ms"}, "latency", Pass},
		{[]string{"p99>2ms", "idle_rss>1KiB"}, "latency", Fail},
		{[]string{"idle_rss>1KiB"}, "latency", Fail},
		{[]string{"idle_rss>1KiB"}, "connections", Inconclusive},
	} {
		e := goodEvidence()
		e.FailIf = c.failIf
		if c.doubtful != "" {
			e.Msggen.Client = Client{Bottleneck: []string{"The generator was late."}, Doubtful: []string{c.doubtful}}
		}
		s := Summarize(e)
		if s.Verdict != c.want || c.doubtful != "" && s.Reasons[0] != "The generator was late." {
			t.Errorf("%q with doubtful %s: %s %q, want %s", c.failIf, c.doubtful, s.Verdict, s.Reasons, c.want)
		}
	}
}

// Each metric finds its figure; a summary of nothing has none but what was asked for.
func TestSummaryMetrics(t *testing.T) {
	e := manyNodes()
	e.FailIf = []string{"missing>1%"}
	full, none := Summarize(e), Summarize(Evidence{})
	for _, k := range SummaryMetrics() {
		v, ok := full.Lookup()(k.Name)
		if !ok {
			t.Errorf("%s was not measured", k.Name)
		}
		if _, ok := none.Lookup()(k.Name); ok && k.Name != "asked" {
			t.Errorf("%s was measured in nothing", k.Name)
		}
		if want := map[string]float64{"p999": 8.11, "mean": 0.25, "lag_p99": 0.11, "service_p99": 2.48, "asked": 10000, "rate": 999.9, "server_cpu": 0.25}[k.Name]; want != 0 && v != want {
			t.Errorf("%s is %v, want %v", k.Name, v, want)
		}
		if k.Of != "" {
			if _, err := promise.Parse(k.Name+">1%", SummaryMetrics()); err != nil {
				t.Error(err)
			}
		}
	}
	var out strings.Builder
	if err := Table(&out, full); err != nil || !strings.Contains(out.String(), "conditions under which the run fails:\n  missing>1%  missing is 0 (0 %)  ok\n") {
		t.Errorf("the table does not list the conditions: %v\n%s", err, out.String())
	}
}

// The figures of a run with faults are those of all slots, and conditions about them make its verdict.
func TestChaosPromises(t *testing.T) {
	c := rough()
	for name, want := range map[string]float64{"recover_max": 1204.6, "detect_max": 41.4, "due": 10100, "lost": 54, "offline": 40, "missing": 104, "unsent": 5, "skipped": 1} {
		if v, ok := c.Lookup()(name); !ok || v != want {
			t.Errorf("%s is %v, %v; want %v", name, v, ok, want)
		}
	}
	for _, k := range ChaosMetrics() {
		if v, ok := (Chaos{}).Lookup()(k.Name); ok {
			t.Errorf("%s is %v of nothing", k.Name, v)
		}
	}
	never := rough()
	never.Slots[1].RecoverMS = nil
	if _, ok := never.Lookup()("recover_max"); ok {
		t.Error("a fault that was never mended has a longest recovery")
	}
	for condition, want := range map[string]Verdict{"lost>1%": Pass, "lost>50": Fail, "memory_growth>1MiB": Inconclusive} {
		k, err := promise.Parse(condition, ChaosMetrics())
		if err != nil {
			t.Fatal(err)
		}
		c := rough()
		c.Promises = new(promise.Judge([]promise.Condition{k}, c.Lookup()))
		got, reasons := JudgeChaos(c)
		c.Verdict, c.Reasons = got, reasons
		var out strings.Builder
		if err := ChaosTable(&out, c); got != want || err != nil || !strings.Contains(out.String(), "conditions under which the run fails:\n  "+condition) {
			t.Errorf("%s: %s %q, %v; want %s\n%s", condition, got, reasons, err, want, out.String())
		}
	}
	c.Aborted = "After 3s the run was ended."
	if got, reasons := JudgeChaos(c); got != Fail || reasons[0] != c.Aborted {
		t.Errorf("aborted: %s %q", got, reasons)
	}
}
