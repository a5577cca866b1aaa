package report

import (
	"errors"
	"fmt"
	"io"
	"time"

	"cometctl/memlog"
)

// ErrNoRows is returned by Load for a log in which no row with a memory size could be read.
var ErrNoRows = errors.New("no readable row")

// Point is one value at one time.
type Point struct {
	X float64 // minutes since the log's first row
	Y float64
}

// Series is one memory log, ready to be drawn.
type Series struct {
	Name  string  // for the legend; Load leaves it empty
	Mem   []Point // RSS in KB of 1024 bytes; X never decreases; beyond 131,072 points thinned in a way that keeps every peak
	Conns []Point // established connections; likewise

	Skipped  int              // lines that should have been rows and could not be read
	Warnings []memlog.Warning // the first hundred oddities, skipped lines among them
}

// Load reads a memory log, ours or the article's. Of the rows that can be read it keeps every one whose number, counted from
// 1, is divisible by every; so Load(r, 10) is the article's `NR%10==0`. Time is counted from the first row that is kept, and
// where the clock was set back it goes on from the row before.
//
// The error is ErrNoRows, wrapped, where nothing is left to draw, or that of r. The Series is returned with both, for its
// count of skipped lines.
func Load(r io.Reader, every int) (*Series, error) {
	if every < 1 {
		return nil, fmt.Errorf("every %d rows: want 1 or more", every)
	}
	s := new(Series)
	rd := memlog.NewReader(r)
	var (
		row     memlog.Sample
		rows    int
		clock   rowClock
		elapsed stopwatch
		err     error
	)
	for {
		if err = rd.Read(&row); err != nil {
			break
		}
		rows++
		if rows%every != 0 {
			continue
		}
		x := elapsed.at(clock.at(&row)).Minutes()
		if row.RSS >= 0 {
			s.Mem = appendPoint(s.Mem, Point{x, float64(row.RSS)})
		}
		if row.Conns >= 0 {
			s.Conns = appendPoint(s.Conns, Point{x, float64(row.Conns)})
		}
	}
	s.Skipped, s.Warnings = rd.Skipped(), rd.Warnings()
	switch {
	case err != io.EOF:
		return s, err
	case len(s.Mem) > 0:
		return s, nil
	case rows > 0 && rows < every:
		return s, fmt.Errorf("%w is left: the log has %d, and only every %dth is drawn; ask for fewer with --every", ErrNoRows, rows, every)
	case rows > 0:
		return s, fmt.Errorf("%w has a memory size", ErrNoRows)
	}
	return s, ErrNoRows
}

// A column of a log never holds more than maxPoints: when it is full, it is reduced to maxColumns, many for each pixel of the
// widest picture. So a log of any length takes constant memory.
const (
	maxPoints  = 1 << 17
	maxColumns = maxPoints / 8
)

func appendPoint(pts []Point, p Point) []Point {
	if len(pts) == maxPoints {
		pts = pts[:copy(pts, reduce(pts, pts[0].X, p.X, maxColumns))]
	}
	return append(pts, p)
}

// rowClock tells when a row was taken. The log keeps whole seconds, and milliseconds only in its elapsed column, which may
// start again in the middle of a log that was appended to.
type rowClock struct {
	start time.Time // when elapsed was zero
}

func (c *rowClock) at(s *memlog.Sample) time.Time {
	if s.Elapsed < 0 {
		return s.Time
	}
	if t := c.start.Add(s.Elapsed); t.Sub(s.Time).Abs() < 2*time.Second {
		return t
	}
	c.start = s.Time.Add(-s.Elapsed)
	return s.Time
}

// stopwatch turns times into time since the first, and never runs backwards: where the clock was set back, it stands still
// for one row and goes on from there, until the clock has caught up.
type stopwatch struct {
	first   time.Time
	lead    time.Duration // how far we are ahead of the clock since it was set back
	last    time.Duration
	running bool
}

func (w *stopwatch) at(t time.Time) time.Duration {
	if !w.running {
		w.first, w.running = t, true
	}
	d := t.Sub(w.first)
	switch {
	case d >= w.last:
		w.lead = 0 // one wrong row, or the clock has caught up
	case d+w.lead >= w.last:
		d += w.lead
	default:
		w.lead, d = w.last-d, w.last
	}
	w.last = d
	return d
}

// reduce returns at most four points for each of n equal columns of the span from x0 to x1: the first, the lowest, the
// highest and the last, in the order of time (M4, Jugel et al., VLDB 2014). A line through them covers the same pixels as a
// line through all, so every peak survives, however short. X of points must not decrease. It returns points itself where
// that is no longer.
func reduce(points []Point, x0, x1 float64, n int) []Point {
	if len(points) <= 4*n {
		return points
	}
	out := make([]Point, 0, 4*n)
	scale := 0.0
	if x1 > x0 {
		scale = float64(n) / (x1 - x0)
	}
	for i := 0; i < len(points); {
		column := int((points[i].X - x0) * scale)
		low, high, j := i, i, i+1
		for ; j < len(points) && (column >= n-1 || int((points[j].X-x0)*scale) == column); j++ {
			if points[j].Y < points[low].Y {
				low = j
			}
			if points[j].Y > points[high].Y {
				high = j
			}
		}
		prev := -1
		for _, k := range [...]int{i, min(low, high), max(low, high), j - 1} {
			if k != prev {
				out = append(out, points[k])
			}
			prev = k
		}
		i = j
	}
	return out
}
