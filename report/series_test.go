package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// loadFile loads a log of testdata, named as a legend would.
func loadFile(t testing.TB, file string, every int) *Series {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := Load(f, every)
	if err != nil {
		t.Fatal(err)
	}
	s.Name = ShortNames([]string{file})[0]
	return s
}

func TestLoadSeed(t *testing.T) {
	s := loadFile(t, "testdata/seed.log", 1)
	if len(s.Mem) != 8 || len(s.Conns) != 8 || s.Skipped != 0 {
		t.Fatalf("%d and %d points, %d skipped; want 8, 8 and 0", len(s.Mem), len(s.Conns), s.Skipped)
	}
	if got, want := s.Mem[7], (Point{447.0 / 60, 90964}); math.Abs(got.X-want.X) > 1e-9 || got.Y != want.Y {
		t.Errorf("last memory point %v, want %v", got, want)
	}
	if s.Mem[0].X != 0 || s.Conns[4].Y != 10001 {
		t.Errorf("first point at %v minutes, fifth with %v connections; want 0 and 10001", s.Mem[0].X, s.Conns[4].Y)
	}
}

func TestLoadEvery(t *testing.T) {
	s := loadFile(t, "testdata/seed.log", 3) // the third and the sixth row, time from the third
	want := []Point{{0, 65252}, {(1224518561.0 - 1224518367) / 60, 90964}}
	if len(s.Mem) != 2 || s.Mem[0] != want[0] || math.Abs(s.Mem[1].X-want[1].X) > 1e-9 || s.Mem[1].Y != want[1].Y {
		t.Errorf("points %v, want %v", s.Mem, want)
	}
	if _, err := Load(strings.NewReader(""), 0); err == nil || !strings.Contains(err.Error(), "every 0") {
		t.Errorf("every 0 gives %v, want an error that names it", err)
	}
}

// row writes a row as the article's loop does.
func row(epoch int64, rss, conns int) string {
	return fmt.Sprintf("Mon Oct 20 16:57:24 BST 2008\t%d\t%d\t%d\n", epoch, rss, conns)
}

func TestLoadBadInput(t *testing.T) {
	good := row(1000, 5, 1)
	for _, c := range []struct {
		name, log       string
		points, skipped int
		err             string
	}{
		{"empty", "", 0, 0, "no readable row"},
		{"comments only", "# columns: date epoch rss_kb conns\n\n", 0, 0, "no readable row"},
		{"binary", "\x7fELF\x00\x01\x02\nnot\ta\trow\tat all\n", 0, 2, "no readable row"},
		{"one long line", strings.Repeat("x", 1<<20) + "\n" + good, 1, 1, ""},
		{"torn last row", good + row(1060, 6, 1) + "Mon Oct 20\t1120\t9", 2, 1, ""},
		{"broken in the middle", good + "Mon\tx\t7\t1\n" + row(1060, 6, 1), 2, 1, ""},
		{"no memory", "Mon Oct 20\t1000\t\t7\n", 0, 0, "no readable row has a memory size"},
		{"fewer rows than every", good, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			every := 1
			if c.name == "fewer rows than every" {
				every, c.err = 10, "only every 10th"
			}
			s, err := Load(strings.NewReader(c.log), every)
			if (err == nil) != (c.err == "") || err != nil && (!errors.Is(err, ErrNoRows) || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error %v, want ErrNoRows with %q", err, c.err)
			}
			if len(s.Mem) != c.points || s.Skipped != c.skipped {
				t.Errorf("%d points, %d skipped; want %d and %d", len(s.Mem), s.Skipped, c.points, c.skipped)
			}
			if c.skipped > 0 && (len(s.Warnings) == 0 || !s.Warnings[0].Skipped) {
				t.Errorf("warnings %v do not name the skipped line", s.Warnings)
			}
		})
	}
	broken := errors.New("disk on fire")
	if _, err := Load(io.MultiReader(strings.NewReader(good), iotest.ErrReader(broken)), 1); !errors.Is(err, broken) {
		t.Errorf("a failing reader gives %v, want its error", err)
	}
}

// Time never runs backwards in a picture, and one wrong row or a clock set back costs no more than itself.
func TestLoadTimeBackwards(t *testing.T) {
	for _, c := range []struct {
		name   string
		epochs []int64
		want   []float64
	}{
		{"steady", []int64{600, 660, 720}, []float64{0, 1, 2}},
		{"set back for good", []int64{600, 1200, 660, 720, 780}, []float64{0, 10, 10, 11, 12}},
		{"one wrong row", []int64{600, 660, 12, 720, 780}, []float64{0, 1, 1, 2, 3}},
		{"set back and forth", []int64{600, 720, 660, 960, 1020}, []float64{0, 2, 2, 6, 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log strings.Builder
			for i, e := range c.epochs {
				log.WriteString(row(e, i, 1))
			}
			s, err := Load(strings.NewReader(log.String()), 1)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float64, len(s.Mem))
			for i, p := range s.Mem {
				got[i] = p.X
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("minutes %v, want %v", got, c.want)
			}
		})
	}
}

// The log keeps whole seconds; within one writer's rows the elapsed column says the fraction.
func TestLoadUsesElapsed(t *testing.T) {
	log := "# columns: date epoch rss_kb conns elapsed_s\n" +
		"d\t1000\t5\t1\t0.000\nd\t1000\t6\t1\t0.250\nd\t1001\t7\t1\t1.500\n" +
		"d\t4600\t8\t1\t0.000\nd\t4601\t9\t1\t1.250\n" // appended to an hour later
	s, err := Load(strings.NewReader(log), 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 0.25, 1.5, 3600, 3601.25} {
		if got := s.Mem[i].X * 60; math.Abs(got-want) > 1e-6 {
			t.Errorf("row %d at %v s, want %v", i+1, got, want)
		}
	}
}

// noise is a random walk with rare sharp peaks, at irregular times.
func noise(r *rand.Rand, n int) []Point {
	pts := make([]Point, n)
	x, y := 0.0, 1000.0
	for i := range pts {
		x += r.Float64()
		y += r.NormFloat64()
		pts[i] = Point{x, y}
		if r.IntN(1000) == 0 {
			pts[i].Y *= 1 + r.Float64()*2
		}
	}
	return pts
}

func TestReduceKeepsPeaks(t *testing.T) {
	const columns = 100
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		pts := noise(r, 1000+r.IntN(20000))
		x0, x1 := pts[0].X, pts[len(pts)-1].X
		got := reduce(pts, x0, x1, columns)
		if len(got) > 4*columns {
			t.Fatalf("seed %d: %d points of %d columns", seed, len(got), columns)
		}
		if got[0] != pts[0] || got[len(got)-1] != pts[len(pts)-1] {
			t.Errorf("seed %d: first or last point lost", seed)
		}
		if !slices.IsSortedFunc(got, func(a, b Point) int { return int(math.Copysign(1, a.X-b.X)) }) {
			t.Errorf("seed %d: time runs backwards", seed)
		}
		for c := range columns { // the extremes of every column are the same
			low, high := extremesOf(pts, x0, x1, columns, c)
			gotLow, gotHigh := extremesOf(got, x0, x1, columns, c)
			if low != gotLow || high != gotHigh {
				t.Errorf("seed %d: column %d spans %v to %v, want %v to %v", seed, c, gotLow, gotHigh, low, high)
			}
		}
	}
}

func extremesOf(pts []Point, x0, x1 float64, columns, column int) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, p := range pts {
		if min(columns-1, int((p.X-x0)*(float64(columns)/(x1-x0)))) == column {
			low, high = min(low, p.Y), max(high, p.Y)
		}
	}
	return low, high
}

func TestReduceEdges(t *testing.T) {
	few := []Point{{0, 1}, {1, 2}, {2, 3}}
	if got := reduce(few, 0, 2, 1); !slices.Equal(got, few) {
		t.Errorf("three points became %v", got)
	}
	same := make([]Point, 100) // all at one moment
	same[40].Y, same[60].Y = 7, -7
	if got, want := reduce(same, 0, 0, 5), []Point{{0, 0}, {0, 7}, {0, -7}, {0, 0}}; !slices.Equal(got, want) {
		t.Errorf("a hundred points at one moment became %v, want %v", got, want)
	}
}

// A long log is thinned while it is read: its memory is bounded, and its peak and its ends are still there.
func TestLoadLongLogIsBounded(t *testing.T) {
	const rows, peakAt, dipAt = 300_000, 123_457, 234_567
	var log strings.Builder
	for i := range rows {
		rss := 90_000 + i%4000
		switch i {
		case peakAt:
			rss = 500_000
		case dipAt:
			rss = 11
		}
		log.WriteString(row(1_000_000+int64(i), rss, 10001))
	}
	s, err := Load(strings.NewReader(log.String()), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Mem) > maxPoints || cap(s.Mem) > 2*maxPoints {
		t.Errorf("%d points kept (room for %d), want at most %d", len(s.Mem), cap(s.Mem), maxPoints)
	}
	for _, want := range []Point{{0, 90_000}, {peakAt / 60.0, 500_000}, {dipAt / 60.0, 11}, {(rows - 1) / 60.0, 90_000 + (rows-1)%4000}} {
		if !slices.ContainsFunc(s.Mem, func(p Point) bool { return p.Y == want.Y && math.Abs(p.X-want.X) < 1e-9 }) {
			t.Errorf("the point %v is lost", want)
		}
	}
}

// FuzzLoad: whatever the bytes, Load ends, time never decreases, and what it returns can be drawn.
func FuzzLoad(f *testing.F) {
	seed, err := os.ReadFile("testdata/seed.log")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, uint8(1))
	f.Add([]byte(row(1000, 5, 1)+row(12, 5, 1)+row(2000, 5, 1)), uint8(1))
	f.Add([]byte(row(253402300799, math.MaxInt32, 1)+row(0, 0, 0)), uint8(1))
	f.Add([]byte("d\t1\t922337203685477580\t922337203685477580\nd\t2\t0\t\n"), uint8(2))
	f.Add([]byte(row(1, 0, 1)+"d\t2\t900000000000000000\t900000000000000000\nd\t3\t900000000000000128\t900000000000000128\n"), uint8(0))
	f.Add([]byte("d\t2\t900000000000000000\t1\nd\t3\t900000000000000128\t1\n"), uint8(0))
	f.Fuzz(func(t *testing.T, log []byte, every uint8) {
		s, err := Load(strings.NewReader(string(log)), int(every)+1)
		if err != nil {
			return
		}
		for _, pts := range [][]Point{s.Mem, s.Conns} {
			for i := 1; i < len(pts); i++ {
				if pts[i].X < pts[i-1].X {
					t.Fatalf("time runs backwards from %v to %v", pts[i-1], pts[i])
				}
			}
		}
		if err := (Picture{Height: 400, Connections: true}).Write(io.Discard, SVG, s); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkLoadMillion(b *testing.B) {
	var log strings.Builder
	for i := range 1_000_000 {
		log.WriteString(row(1224518244+int64(i), 90000+i*7919%4000, 10001))
	}
	b.SetBytes(int64(log.Len()))
	for b.Loop() {
		if _, err := Load(strings.NewReader(log.String()), 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
