package report

import (
	"slices"
	"testing"
)

func labels(a axis) []string {
	var out []string
	for _, t := range a.ticks {
		out = append(out, t.Label)
	}
	return out
}

func TestAxes(t *testing.T) {
	minutes := func(x float64) []*Series { return []*Series{{Mem: []Point{{0, 1}, {x, 1}}}} }
	for _, c := range []struct {
		name   string
		axis   axis
		lo, hi float64
		labels []string
	}{
		{"seed", valueAxis(40388, 90964, 6), 40000, 100000, []string{"40000", "50000", "60000", "70000", "80000", "90000", "100000"}},
		{"from zero", valueAxis(8200, 35000, 4), 0, 40000, []string{"0", "10000", "20000", "30000", "40000"}},
		{"a million", valueAxis(0, 1e6, 4), 0, 1.1e6, []string{"0", "250,000", "500,000", "750,000", "1,000,000"}},
		{"level", valueAxis(10, 10, 2), 9, 11.2, []string{"9", "10", "11"}},
		{"level zero", valueAxis(0, 0, 2), 0, 1.1, []string{"0.0", "0.5", "1.0"}},
		{"seven minutes", timeAxis(minutes(6.78), 10), 0, 6.78, []string{"0", "1", "2", "3", "4", "5", "6"}},
		{"an hour", timeAxis(minutes(60), 7), 0, 60, []string{"0", "10", "20", "30", "40", "50", "60"}},
		{"a day", timeAxis(minutes(1440), 7), 0, 1440, []string{"0", "240", "480", "720", "960", "1200", "1440"}},
		{"a month", timeAxis(minutes(43200), 7), 0, 43200, []string{"0", "7200", "14400", "21600", "28800", "36000", "43200"}},
		{"ten seconds", timeAxis(minutes(10.0/60), 4), 0, 10.0 / 60, []string{"0.00", "0.05", "0.10", "0.15"}},
		{"one moment", timeAxis(minutes(0), 2), 0, 1, []string{"0.0", "0.5", "1.0"}},
	} {
		if c.axis.min != c.lo || c.axis.max != c.hi || !slices.Equal(labels(c.axis), c.labels) {
			t.Errorf("%s: %v to %v %q, want %v to %v %q", c.name, c.axis.min, c.axis.max, labels(c.axis), c.lo, c.hi, c.labels)
		}
	}
}

func TestShortNames(t *testing.T) {
	for _, c := range []struct{ files, want []string }{
		{nil, nil},
		{[]string{"runs/a/mochimem.log"}, []string{"mochimem"}},
		{[]string{"runs/a/mochimem.log", "runs/b/mochimem.log"}, []string{"a", "b"}},
		{[]string{"/x/before.log", "/x/after.log"}, []string{"before", "after"}},
		{[]string{"mochimem.log", "old/mochimem.log"}, []string{"mochimem", "old/mochimem"}},
		{[]string{"a/x/m.log", "b/y/m.log"}, []string{"a/x", "b/y"}},
		{[]string{"-", "./m.log"}, []string{"stdin", "m"}},
		{[]string{"m.log", "m.log"}, []string{"m", "m (2)"}},
	} {
		if got := ShortNames(c.files); !slices.Equal(got, c.want) {
			t.Errorf("ShortNames(%q) is %q, want %q", c.files, got, c.want)
		}
	}
}
