package timing

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Snapshot is what a Histogram had recorded at one time, bucket by bucket: a copy, and 260 KB of it.
type Snapshot []int64

// Snapshot returns what h has recorded by now. It takes some hundred us, too long to hold a lock that a message waits for.
func (h Histogram) Snapshot() Snapshot { return h.h.Export().Counts }

// growth tells what a Histogram that only grows has recorded since it was last asked. The zero growth was never asked. It keeps what it was
// asked with.
type growth struct{ before Snapshot }

// each calls do for each bucket of a Histogram that has grown since the last call: with the lowest value that it counts and the highest, in us, and by
// how much. A bucket that has become smaller, which no merging of histograms makes, counts as one that has not grown.
func (g *growth) each(now Snapshot, do func(from, to, count int64)) {
	for i, n := range now {
		if n == 0 {
			continue
		}
		if i < len(g.before) {
			n -= g.before[i]
		}
		if n > 0 {
			do(valueOf(i), valueOf(i+1)-1, n)
		}
	}
	g.before = now
}

// IntervalLog writes distributions while they grow, in HdrHistogram's interval log format 1.3: for each interval a line for each of
// them, with its tag and what was recorded in the interval, in nanoseconds as HdrHistogram's tools expect it. An interval leaves in one write;
// nothing is kept back, so that a crash costs the interval that was not over. It belongs to one goroutine.
type IntervalLog struct {
	w       io.Writer
	series  []series
	begin   time.Time
	last    time.Time               // the end of the last interval
	scratch *hdrhistogram.Histogram // in ns
	out     []byte
}

// series is one of the distributions of an IntervalLog.
type series struct {
	tag    string
	before growth
	begun  bool // it has a line
}

// NewIntervalLog writes the head of a log whose first interval begins at begin, for distributions with these tags (no commas, spaces or
// line breaks), and returns the log. Errors are those of w.
func NewIntervalLog(w io.Writer, begin time.Time, tags ...string) (*IntervalLog, error) {
	l := &IntervalLog{w: w, begin: begin, last: begin, scratch: hdrhistogram.New(1, int64(Max), 3)}
	for _, tag := range tags {
		l.series = append(l.series, series{tag: tag})
	}
	at := float64(begin.UnixMilli()) / 1000
	_, err := fmt.Fprintf(w, "#[Logged by cometctl; the values are nanoseconds]\n#[Histogram log format version 1.3]\n"+
		"#[BaseTime: %.3f (seconds since epoch)]\n#[StartTime: %.3f (seconds since epoch), %s]\n"+
		"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n", at, at, begin.UTC().Format(time.UnixDate))
	return l, err
}

// Write ends an interval at until, with all that each of the distributions has recorded by then, in the order of their tags. What they
// have recorded before is known. A distribution has lines from its first value on; with none in an interval the line says that. Errors are those of
// the log's writer.
func (l *IntervalLog) Write(until time.Time, all ...Snapshot) error {
	l.out = l.out[:0]
	length := max(until.Sub(l.last), 0)
	for i := range l.series {
		s := &l.series[i]
		l.scratch.Reset()
		s.before.each(all[i], func(from, to, count int64) {
			_ = l.scratch.RecordValues((from+to+1)*int64(time.Microsecond)/2, count) // the middle, which is within the bounds
		})
		if s.begun = s.begun || l.scratch.TotalCount() > 0; !s.begun {
			continue
		}
		text, err := l.scratch.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return fmt.Errorf("timing: %w", err)
		}
		l.out = fmt.Appendf(l.out, "Tag=%s,%.3f,%.3f,%.3f,%s\n", s.tag, l.last.Sub(l.begin).Seconds(), length.Seconds(),
			float64(l.scratch.Max())/float64(time.Millisecond), text)
	}
	l.last = l.last.Add(length)
	_, err := l.w.Write(l.out)
	return err
}
