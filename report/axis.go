package report

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// axis is a range and its ticks.
type axis struct {
	min, max float64
	ticks    plot.ConstantTicks
}

// bare returns the ticks without their labels.
func (a axis) bare() plot.ConstantTicks {
	out := make(plot.ConstantTicks, len(a.ticks))
	for i, t := range a.ticks {
		out[i].Value = t.Value
	}
	return out
}

// ticks is how many ticks have room on a side of a panel, when each takes so many pixels at the default size.
func (st style) ticks(side, each int) int {
	return max(2, int(float64(side)/(float64(each)*st.scale)))
}

// timeAxis spans all series, from zero to the last point. Its ticks are round numbers of minutes, and from ten minutes on
// those that divide an hour or a day.
func timeAxis(series []*Series, n int) axis {
	a := axis{}
	for _, s := range series {
		for _, pts := range [][]Point{s.Mem, s.Conns} {
			if len(pts) > 0 {
				a.max = max(a.max, pts[len(pts)-1].X)
			}
		}
	}
	if a.max == 0 {
		a.max = 1
	}
	raw := a.max / float64(n)
	step := niceStep(raw)
	if raw > 5 {
		for _, s := range []float64{10, 15, 20, 30, 60, 120, 180, 240, 360, 720} {
			if s >= raw {
				step = s
				break
			}
		}
		if raw > 720 {
			step = 1440 * math.Ceil(niceStep(raw/1440))
		}
	}
	a.setTicks(step)
	return a
}

// valueAxis spans lo to hi in round numbers, about n ticks. It begins at zero where the values do not keep far above it,
// and leaves a little air above the highest.
func valueAxis(lo, hi float64, n int) axis {
	if lo < hi/4 {
		lo = 0
	}
	if hi-lo <= math.Abs(hi)*1e-9 { // a level line, in the middle; finer steps than that are float64's own
		air := max(1, math.Abs(hi)/20)
		lo, hi = max(0, lo-air), hi+air
	}
	step := niceStep((hi - lo) / float64(n))
	a := axis{min: math.Floor(lo/step) * step, max: math.Ceil((hi+(hi-lo)/50)/step) * step}
	if a.max-hi >= (hi-lo)/4 { // a coarse step would leave the panel empty
		a.max = hi + (hi-lo)/10
	}
	a.setTicks(step)
	return a
}

// niceStep is the smallest of 1, 2, 2.5 and 5 times a power of ten that is not below x.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range [...]float64{1, 2, 2.5, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// setTicks places a tick on every multiple of step; a.min is one. The seed writes 40000; beyond 100000 thousands are grouped.
func (a *axis) setTicks(step float64) {
	places := 0
	for x := step; places < 6 && math.Abs(x-math.Round(x)) > 1e-6*x; x *= 10 {
		places++
	}
	for i := math.Round(a.min / step); i*step <= a.max*(1+1e-9); i++ {
		label := strconv.FormatFloat(i*step, 'f', places, 64)
		if a.max > 100_000 {
			whole, frac, _ := strings.Cut(label, ".")
			label = strings.TrimSuffix(groupDigits(whole)+"."+frac, ".")
		}
		a.ticks = append(a.ticks, plot.Tick{Value: i * step, Label: label})
	}
}

// memPanel shows RSS, in KB while there are six digits, then in MB or GB.
func (st style) memPanel(series []*Series, x axis, width, height int) panel {
	_, most := extent(series, func(s *Series) []Point { return s.Mem })
	unit, per := "KB", 1.0
	switch {
	case most >= 10*(1<<20):
		unit, per = "GB", 1<<20
	case most >= 1_000_000:
		unit, per = "MB", 1<<10
	}
	return st.curves("Mem ("+unit+")", series, x, per, width, height, func(s *Series) []Point { return s.Mem })
}

// connPanel shows established connections.
func (st style) connPanel(series []*Series, x axis, width, height int) panel {
	return st.curves("Connections", series, x, 1, width, height, func(s *Series) []Point { return s.Conns })
}

// curves returns the panel of one column, whose values are divided by per.
func (st style) curves(
	label string, series []*Series, x axis, per float64, width, height int, column func(*Series) []Point,
) panel {
	curves := make([]curve, len(series))
	for i, s := range series {
		pts := append([]Point(nil), reduce(column(s), x.min, x.max, width)...)
		for k := range pts {
			pts[k].Y /= per
		}
		curves[i] = curve{pts, st.series(i)}
	}
	lo, hi := extent(series, column)
	return st.newPanel(label, x, valueAxis(lo/per, hi/per, st.ticks(height, 48)), curves)
}

// extent returns the lowest and the highest value of a column; 0 and 0 where there is none.
func extent(series []*Series, column func(*Series) []Point) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range series {
		for _, p := range column(s) {
			lo, hi = min(lo, p.Y), max(hi, p.Y)
		}
	}
	if lo > hi {
		return 0, 0
	}
	return lo, hi
}
