package timing

import (
	"encoding/json"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	h := New()
	if p := h.Percentiles(); p != nil {
		t.Errorf("nothing recorded: %+v, want nil", p)
	}
	other := New()
	for i := range 1000 {
		to := h
		if i%2 == 0 {
			to = other
		}
		to.Record(time.Duration(i+1) * time.Millisecond)
	}
	h.Merge(other)
	got := h.Percentiles()
	for _, c := range []struct {
		name      string
		got, want float64
	}{{"p50", got.P50, 500}, {"p90", got.P90, 900}, {"p99", got.P99, 990}, {"p99.9", got.P999, 999}, {"max", got.Max, 1000}, {"mean", got.Mean, 500.5}} {
		if c.got < c.want*0.9999 || c.got > c.want*1.001 { // three digits, rounded up; but for the mean
			t.Errorf("%s = %v ms, want %v", c.name, c.got, c.want)
		}
	}
	h.Reset()
	if h.Percentiles() != nil {
		t.Error("something is left after Reset")
	}
}

func TestRecordBeyondItsBounds(t *testing.T) {
	h := New()
	h.Record(-time.Second)
	if p := h.Percentiles(); p == nil || *p != (Percentiles{}) {
		t.Errorf("a negative duration: %+v, want zeros", p)
	}
	h.Record(3 * Max)
	if p, most := h.Percentiles(), float64(Max/time.Millisecond); p.Max < most || p.Max > most*1.001 {
		t.Errorf("beyond the bound: max %v ms, want %v", p.Max, most)
	}
}

// The keys are an interface: other programs read them.
func TestKeys(t *testing.T) {
	b, err := json.Marshal(Percentiles{1, 2, 3, 4, 5, 6})
	if want := `{"p50":1,"p90":2,"p99":3,"p999":4,"max":5,"mean":6}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
}
