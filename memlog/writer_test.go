package memlog

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// randomSample has every field set or NA, at the precision that the log keeps.
func randomSample(rnd *rand.Rand) Sample {
	n := func() int64 {
		if rnd.IntN(4) == 0 {
			return NA
		}
		return rnd.Int64N(1 << rnd.IntN(50))
	}
	d := func() time.Duration {
		if n := n(); n >= 0 {
			return time.Duration(n%1e9) * time.Millisecond
		}
		return NA
	}
	return Sample{
		Time: time.Unix(rnd.Int64N(maxEpoch+1), 0), RSS: n(), Conns: n(), Elapsed: d(), Anon: n(), PSS: n(),
		Slab: n(), SockBuf: n(), FDs: n(), CPU: d(), Threads: n(), Procs: n(),
	}
}

func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var log bytes.Buffer
	w := NewWriter(&log)
	if err := w.Header("a test"); err != nil {
		t.Fatal(err)
	}
	var want []Sample
	for i := range 1000 {
		s := randomSample(rnd)
		want = append(want, s)
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if err := w.Note("a\tnote\nof two lines"); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := NewReader(&log)
	got := readAll(t, r)
	if r.Skipped() != 0 || len(got) != len(want) {
		t.Fatalf("wrote %d rows, read %d, %v", len(want), len(got), r.Warnings())
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("row %d was written as %+v\nand read as %+v", i, want[i], got[i])
		}
	}
}

// Columns of members come and go, between them rows without; the rest of the row reads back all the same.
func TestRoundTripWithMembers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var log bytes.Buffer
	w := NewWriter(&log)
	if err := w.Header("a test"); err != nil {
		t.Fatal(err)
	}
	var want []Sample
	var members []memberSample
	named := 1
	for i := range 300 {
		s := randomSample(rnd)
		want = append(want, s)
		if i%10 == 0 { // others
			before := len(members)
			members = nil
			for range rnd.IntN(60) {
				own := randomSample(rnd)
				members = append(members, memberSample{1 + rnd.IntN(1<<22), &own})
			}
			if len(members)+before > 0 {
				named++
			}
		}
		w.observeMembers(members)
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), columnsMark); n != named {
		t.Errorf("%d columns lines, the members were others %d times", n, named-1)
	}
	cells := 0
	for line := range strings.Lines(log.String()) {
		if rest, ok := strings.CutPrefix(line, columnsMark); ok {
			names, _, _ := strings.Cut(rest, "\t")
			cells = len(strings.Fields(names))
		} else if line[0] != '#' && strings.Count(line, "\t")+1 != cells {
			t.Fatalf("a row of %d cells under %d names", strings.Count(line, "\t")+1, cells)
		}
	}
	r := NewReader(&log)
	got := readAll(t, r)
	if r.Skipped() != 0 || !slices.Equal(got, want) {
		t.Fatalf("wrote %d rows, read %d others, %v", len(want), len(got), r.Warnings())
	}
}

// The longest columns line and row that there can be are lines that a Reader takes.
func TestManyMembersFitALine(t *testing.T) {
	large := Sample{Time: time.Unix(maxEpoch, 0), RSS: 1 << 40, Anon: 1 << 40, PSS: 1 << 40, FDs: 1 << 30, CPU: 1e6 * time.Hour, Threads: 1 << 22}
	var log bytes.Buffer
	w := NewWriter(&log)
	members := make([]memberSample, maxMembers)
	for i := range members {
		members[i] = memberSample{1<<22 - i, &large}
	}
	w.observeMembers(members)
	if err := w.Write(&large); err != nil {
		t.Fatal(err)
	}
	if r := NewReader(&log); len(readAll(t, r)) != 1 || r.Warned() != 0 {
		t.Errorf("%v", r.Warnings())
	}
}

// What Writer makes of the seed's samples starts with the seed's own bytes.
func TestWriterWritesTheSeedsColumns(t *testing.T) {
	seed, err := os.ReadFile("testdata/seed.log")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w := NewWriter(&log)
	for _, s := range readAll(t, NewReader(bytes.NewReader(seed))) {
		s.Time = s.Time.In(time.FixedZone("BST", 3600))
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Split(string(seed), "\n")
	for i, line := range strings.Split(log.String(), "\n") {
		if cells := strings.Split(line, "\t"); len(cells) > seedColumns {
			line = strings.Join(cells[:seedColumns], "\t")
		}
		if line != want[i] {
			t.Errorf("line %d is %q, the seed's is %q", i+1, line, want[i])
		}
	}
}

// The article's awk takes every tenth line, whatever it is, its second field for the time
// and its third for the memory. So these must be right in notes too.
func TestEveryLineSuitsTheSeedsAwk(t *testing.T) {
	var log bytes.Buffer
	w := NewWriter(&log)
	s := Sample{Time: time.Unix(1224518244, 0), RSS: 40388}
	w.Observe(&s)
	for _, err := range []error{w.Header("about\tthis"), w.Write(&s), w.Note("something happened"), w.Write(&s)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for _, line := range lines {
		f := strings.Split(line, "\t")
		if len(f) < 3 || f[1] != "1224518244" || f[2] != "40388" {
			t.Errorf("awk reads %q as another time or memory", line)
		}
	}
}

// A countingWriter takes so many bytes and then fails as a full disk does.
type countingWriter struct {
	bytes.Buffer
	room, calls int
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.calls++
	n := min(len(b), w.room)
	w.room -= n
	w.Buffer.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func TestOneWritePerRow(t *testing.T) {
	w := &countingWriter{room: 1 << 20}
	s := randomSample(rand.New(rand.NewPCG(1, 2)))
	lw := NewWriter(w)
	for range 3 {
		if err := lw.Write(&s); err != nil {
			t.Fatal(err)
		}
	}
	if w.calls != 3 {
		t.Errorf("%d writes for 3 rows", w.calls)
	}
}

// However much of a row a full disk takes: the error is told, the rows around it survive,
// and the piece is not taken for a row.
func TestFullDiskAtEveryByte(t *testing.T) {
	s := randomSample(rand.New(rand.NewPCG(1, 2)))
	s.RSS, s.Conns = 1000, 10
	var one bytes.Buffer
	if err := NewWriter(&one).Write(&s); err != nil {
		t.Fatal(err)
	}
	size := one.Len()
	for taken := range size {
		disk := &countingWriter{room: size + taken}
		w := NewWriter(disk)
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&s); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("taken %d: error is %v", taken, err)
		}
		disk.room = 1 << 20
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
		r := NewReader(&disk.Buffer)
		rows := readAll(t, r)
		pieces := min(taken, 1)
		if len(rows) != 2 || r.Skipped() != pieces || rows[0].RSS != s.RSS || rows[1].RSS != s.RSS {
			t.Fatalf("taken %d: %d rows, %v", taken, len(rows), r.Warnings())
		}
	}
}

func TestOpenLogEndsATornLine(t *testing.T) {
	for torn := range len(seedRow) {
		path := filepath.Join(t.TempDir(), "mochimem.log")
		old := seedRow + seedRow[:torn]
		if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		w, f, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		s := Sample{Time: time.Unix(1224518305, 0), RSS: 5}
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
		f.Close()
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(log, []byte(old)) {
			t.Fatalf("torn at %d: what was there is gone: %q", torn, log)
		}
		r := NewReader(bytes.NewReader(log))
		rows := readAll(t, r)
		if len(rows) != 2 || rows[1].RSS != 5 || r.Skipped() != min(torn, 1) {
			t.Fatalf("torn at %d: rows %+v, %v of %q", torn, rows, r.Warnings(), log)
		}
	}
}

func TestOpenLogSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	_, _, err := openLog(filepath.Join(dir, "missing", "x.log"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("missing directory: %v", err)
	}
	if _, _, err = openLog(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	if os.Getuid() > 0 {
		path := filepath.Join(dir, "ro.log")
		if err := os.WriteFile(path, []byte(seedRow), 0o400); err != nil {
			t.Fatal(err)
		}
		if _, _, err = openLog(path); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), path) {
			t.Errorf("read-only: %v", err)
		}
	}
	if runtime.GOOS == "linux" {
		w, f, err := openLog("/dev/full")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := w.Note("x"); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
			t.Errorf("full: %v", err)
		}
	}
}

func TestDecimal(t *testing.T) {
	tests := []struct {
		in     string
		places int
		want   int64
		err    error
	}{
		{"0", 0, 0, nil}, {"007", 0, 7, nil}, {"922337203685477579", 0, 922337203685477579, nil},
		{"1.5", 9, 1500000000, nil}, {"1.123456789987", 9, 1123456789, nil}, {"0.001", 3, 1, nil},
		{"", 0, NA, errNumber}, {".", 9, NA, errNumber}, {"1.", 9, NA, errNumber}, {".5", 9, NA, errNumber},
		{"1.5", 0, NA, errNumber}, {"1.2.3", 9, NA, errNumber}, {"-1", 0, NA, errNumber}, {"+1", 0, NA, errNumber},
		{"1_0", 0, NA, errNumber}, {"0x1", 0, NA, errNumber}, {"1\x00", 0, NA, errNumber}, {"١", 0, NA, errNumber},
		{"9223372036854775808", 0, NA, errRange}, {"99999999999", 9, NA, errRange}, {strconv.Itoa(1<<63 - 1), 1, NA, errRange},
	}
	for _, tt := range tests {
		if got, err := parseDecimal([]byte(tt.in), tt.places); got != tt.want || err != tt.err {
			t.Errorf("parseDecimal(%q, %d) = %d, %v; want %d, %v", tt.in, tt.places, got, err, tt.want, tt.err)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	s := randomSample(rand.New(rand.NewPCG(1, 2)))
	w := NewWriter(io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(&s); err != nil {
			b.Fatal(err)
		}
	}
}
