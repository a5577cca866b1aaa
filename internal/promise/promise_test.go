package promise

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

var table = Metrics{
	{Name: "p99", Unit: Milliseconds},
	{Name: "lag_p999", Unit: Milliseconds},
	{Name: "missing", Of: "sent"},
	{Name: "sent"},
	{Name: "failed", Of: "asked"},
	{Name: "asked"},
	{Name: "base_rss", Unit: Bytes},
	{Name: "slope", Unit: BytesPerHour},
	{Name: "rate", Unit: PerSecond},
	{Name: "cpu", Unit: Fraction},
	{Name: "delta", Unit: Plain},
}

// lookup tells these values, and nothing else.
func lookup(values map[string]float64) Lookup {
	return func(name string) (float64, bool) {
		v, ok := values[name]
		return v, ok
	}
}

func TestHolds(t *testing.T) {
	values := map[string]float64{"p99": 0.1, "lag_p999": 100, "missing": 3, "sent": 300, "failed": 0, "asked": 0, "base_rss": 1 << 20, "slope": -1024,
		"rate": 2, "cpu": 0.9}
	for _, c := range []struct {
		text            string
		holds, measured bool
	}{
		{"p99>100us", false, true},
		{"p99>=100us", true, true},
		{"p99==100us", true, true}, // 0.1 ms, to the last bit
		{"p99==100µs", true, true},
		{"p99!=100000ns", false, true},
		{"p99<0.1001ms", true, true},
		{" p99 <= 1s ", true, true},
		{"p99 < 1 m", true, true},
		{"p99>0", true, true},
		{"lag_p999==100ms", true, true},
		{"lag_p99.9==100ms", true, true},
		{"missing>2", true, true},
		{"missing==1%", true, true}, // 3 of 300, to the last bit
		{"missing>1 %", false, true},
		{"missing>0.99%", true, true},
		{"failed>0", false, true},
		{"failed>0%", false, false}, // a share of nothing
		{"base_rss==1MiB", true, true},
		{"base_rss==1MB", true, true},
		{"base_rss==1048576", true, true},
		{"base_rss==1024KiB", true, true},
		{"base_rss<1GiB", true, true},
		{"slope<0", true, true},
		{"slope==-1KiB/h", true, true},
		{"slope==-1KiB", true, true},
		{"rate>=2", true, true},
		{"rate>=2/s", true, true},
		{"rate==120/m", true, true},
		{"cpu>90%", false, true},
		{"cpu>=90%", true, true},
		{"cpu>+0.89", true, true},
		{"delta>0.147", false, false}, // was not measured
	} {
		condition, err := Parse(c.text, table)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		holds, measured := condition.Holds(lookup(values))
		if holds != c.holds || measured != c.measured {
			t.Errorf("%q holds %v, measured %v; want %v, %v", c.text, holds, measured, c.holds, c.measured)
		}
		if got := condition.String(); got != strings.TrimSpace(c.text) {
			t.Errorf("%q is %q as text", c.text, got)
		}
	}
	if holds, measured := (Condition{}).Holds(lookup(values)); holds || measured {
		t.Error("the zero Condition was measured")
	}
	c, _ := Parse("p99!=0", table)
	if holds, measured := c.Holds(lookup(map[string]float64{"p99": math.NaN()})); holds || measured {
		t.Error("NaN was measured")
	}
}

// Each error points at the place, and says the way out.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   `"" ends at 1 with no metric; give METRIC OP VALUE, such as p99>200ms`,
		"   ":                                `"" ends at 1 with no metric`,
		">5":                                 `">5" at 1 is no metric; give METRIC OP VALUE`,
		"p98>5ms":                            `"p98>5ms": "p98" at 1 is no metric here; there are p99, lag_p999, missing, sent, failed`,
		"P99>5ms":                            `"P99" at 1 is no metric here`,
		"p99":                                `"p99" ends at 4 with no comparison; after the metric stands one of < <= > >= == !=`,
		"p99=5ms":                            `"=5ms" at 4 is no comparison`,
		"p99 ~ 5ms":                          `"~ 5ms" at 5 is no comparison`,
		"p99>":                               `"p99>" ends at 5 with no value; give a time with its unit, such as 200ms (ns, us, ms, s, m)`,
		"p99>>5ms":                           `">5ms" at 5 is no value; give a time`,
		"p99>x":                              `"x" at 5 is no value`,
		"p99>.5ms":                           `".5ms" at 5 is no value`,
		"p99>5.ms":                           `"5.ms" at 5 is no value`,
		"p99>--5ms":                          `"--5ms" at 5 is no value`,
		"p99>inf":                            `"inf" at 5 is no value`,
		"p99>1e3ms":                          `"e3ms" at 6 is no unit of p99; give a time`,
		"p99>0x10ms":                         `"x10ms" at 6 is no unit of p99`,
		"p99>200":                            `"200" at 5 is a number without a unit; give a time`,
		"p99>200KiB":                         `"KiB" at 8 is no unit of p99; give a time`,
		"p99 > 1% ":                          `"%" at 8 is no unit of p99; give a time`,
		"µ99>5ms":                            `"µ99>5ms" at 1 is no metric; give`,
		"p99>5µs extra":                      `"µs extra" at 6 is no unit of p99`,
		"missing>1ms":                        `"ms" at 10 is no unit of missing; give a number, or a share of sent, such as 1%`,
		"missing>1%%":                        `"%%" at 10 is no unit of missing`,
		"base_rss>1kB":                       `"kB" at 11 is no unit of base_rss; give a number of bytes, such as 1KiB (B, KiB, MiB, GiB)`,
		"rate>5/h":                           `"/h" at 7 is no unit of rate; give a number a second, such as 1000/s`,
		"cpu>5ms":                            `"ms" at 6 is no unit of cpu; give a share, such as 10%`,
		"delta>1/s":                          `"/s" at 8 is no unit of delta; give a number`,
		"missing>99999999999999999999999999": `no value; give a number`,
	} {
		_, err := Parse(text, table)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v\nwant %s", text, err, want)
		}
	}
	for unit, want := range map[Unit]string{Count: "m>0", Bytes: "m>1KiB", BytesPerHour: "m>1MiB/h", PerSecond: "m>1000/s", Fraction: "m>10%"} {
		_, err := Parse("", Metrics{{Name: "m", Unit: unit}})
		if err == nil || !strings.HasSuffix(err.Error(), "such as "+want) {
			t.Errorf("%v, want an example %s", err, want)
		}
		if _, err := Parse(want, Metrics{{Name: "m", Unit: unit}}); err != nil {
			t.Errorf("the example is wrong: %v", err)
		}
	}
}

func TestSay(t *testing.T) {
	values := lookup(map[string]float64{"p99": 213.449, "missing": 12, "sent": 1000, "base_rss": 1536, "slope": -3 << 20, "rate": 1000.123,
		"cpu": 0.425, "delta": 0.33333, "lag_p999": 0.04})
	for text, want := range map[string]string{
		"p99>1ms":      "p99 is 213.4 ms",
		"lag_p999>1ms": "lag_p999 is 0.04 ms",
		"missing>0":    "missing is 12",
		"missing>1%":   "missing is 12 (1.2 %)",
		"failed>1%":    "failed was not measured",
		"base_rss>1":   "base_rss is 1.5 KiB",
		"slope>0":      "slope is -3 MiB/h",
		"rate>0":       "rate is 1000/s",
		"cpu>1%":       "cpu is 42.5 %",
		"delta>1":      "delta is 0.3333",
		"sent>1":       "sent is 1000",
	} {
		c, err := Parse(text, table)
		if got := c.Say(values); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	values := lookup(map[string]float64{"p99": 213.4, "missing": 0, "sent": 10})
	parse := func(texts ...string) (out []Condition) {
		for _, text := range texts {
			c, err := Parse(text, table)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, c)
		}
		return out
	}
	for _, c := range []struct {
		conditions []Condition
		verdict    Verdict
		text       string
	}{
		{nil, Pass, ""},
		{parse("missing>0"), Pass, ""},
		{parse("missing>0", "p99>200ms"), Fail, "p99>200ms holds: p99 is 213.4 ms"},
		{parse("cpu>90%"), Inconclusive, "cpu>90% cannot be judged: cpu was not measured"},
		{parse("cpu>90%", "p99>200ms"), Fail, "p99>200ms holds: p99 is 213.4 ms; cpu>90% cannot be judged: cpu was not measured"},
		{parse("p99>200ms", "cpu>90%"), Fail, "p99>200ms holds: p99 is 213.4 ms; cpu>90% cannot be judged: cpu was not measured"},
	} {
		r := Judge(c.conditions, values)
		if r.Verdict != c.verdict || r.Text() != c.text || len(r.Conditions) != len(c.conditions) {
			t.Errorf("%v: %+v %q, want %s %q", c.conditions, r, r.Text(), c.verdict, c.text)
		}
	}
	r := Judge(parse("missing>0", "cpu>90%"), values)
	if !r.Judges("p99", "cpu") || r.Judges("p99") || (*Report)(nil).Judges("cpu") {
		t.Error("it judges missing and cpu, and nothing else")
	}
	r.Abort("After 3.2s the run was ended by p99>=200ms: p99 is 213.4 ms.")
	if want := "After 3.2s the run was ended by p99>=200ms: p99 is 213.4 ms."; r.Verdict != Fail || r.Aborted != want {
		t.Errorf("%+v, want fail: %s", r, want)
	}
	got, err := json.Marshal(r)
	const want = `{"verdict":"fail","conditions":[{"fail_if":"missing\u003e0","metric":"missing","value":0,"holds":false,"says":"missing is 0"},` +
		`{"fail_if":"cpu\u003e90%","metric":"cpu","value":null,"holds":false,"says":"cpu was not measured"}],"aborted":"After 3.2s the run was ended by p99\u003e=200ms: p99 is 213.4 ms."}`
	if err != nil || string(got) != want {
		t.Errorf("JSON %s, %v\nwant %s", got, err, want)
	}
	const shown = "verdict: fail\n  After 3.2s the run was ended by p99>=200ms: p99 is 213.4 ms.\n" +
		"  missing>0  missing is 0          ok\n  cpu>90%    cpu was not measured  unknown\n"
	if r.String() != shown {
		t.Errorf("for people:\n%s\nwant\n%s", r, shown)
	}
}

// What is read is of the form it must have, and reads as the same again; the place that an error names is in the text.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"p99>200ms", "missing >= 0.5 %", "slope<-1KiB/h", "cpu!=1", "p99>>", "µ", "p99>9e9", "base_rss==+1.25GiB", "failed>1%%", "\xff>1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text, table)
		if err != nil {
			if !strings.Contains(err.Error(), " at ") {
				t.Fatalf("%q: %v points nowhere", text, err)
			}
			return
		}
		again, err := Parse(c.String(), table)
		if err != nil || again != c {
			t.Fatalf("%q is %+v, and read again %+v, %v", text, c, again, err)
		}
		if equal := c.op == "<=" || c.op == ">=" || c.op == "=="; c.op.compare(c.value, c.value) != equal {
			t.Fatalf("%q compares %v with itself wrongly", text, c.value)
		}
	})
}
