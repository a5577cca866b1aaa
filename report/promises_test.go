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
