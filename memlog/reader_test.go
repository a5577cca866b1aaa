package memlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func readAll(t *testing.T, r *Reader) []Sample {
	t.Helper()
	var rows []Sample
	for {
		var s Sample
		switch err := r.Read(&s); err {
		case nil:
			rows = append(rows, s)
		case io.EOF:
			return rows
		default:
			t.Fatal(err)
		}
	}
}

func TestReaderReadsTheSeedsLog(t *testing.T) {
	f, err := os.Open("testdata/seed.log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := NewReader(f)
	rows := readAll(t, r)
	if len(rows) != 8 || r.Skipped() != 0 || r.Warned() != 0 {
		t.Fatalf("%d rows, %d skipped, warnings %v; want 8 clean rows", len(rows), r.Skipped(), r.Warnings())
	}
	first, last := rows[0], rows[7]
	if first.Time.Unix() != 1224518244 || first.RSS != 40388 || first.Conns != 1 {
		t.Errorf("first row is %+v", first)
	}
	if last.Time.Unix() != 1224518691 || last.RSS != 90964 || last.Conns != 10001 {
		t.Errorf("last row is %+v", last)
	}
	if last.Elapsed >= 0 || last.Anon >= 0 || last.PSS >= 0 || last.Slab >= 0 || last.SockBuf >= 0 ||
		last.FDs >= 0 || last.CPU >= 0 || last.Threads >= 0 || last.Procs >= 0 {
		t.Errorf("columns that the seed does not have are not NA: %+v", last)
	}
}

const seedRow = "Mon Oct 20 16:57:24 BST 2008\t1224518244\t40388\t1\n"

func TestReaderOnBrokenLogs(t *testing.T) {
	row := func(epoch, rss, conns string) string { return "date\t" + epoch + "\t" + rss + "\t" + conns + "\n" }
	tests := []struct {
		name, log string
		rows      int
		warnings  string // joined with "; "
	}{
		{"empty", "", 0, ""},
		{"blank lines", "\n\r\n\n", 0, ""},
		{"only comments", "# columns: a b\n#\n# x", 0, ""},
		{"crlf", strings.ReplaceAll(seedRow, "\n", "\r\n"), 1, ""},
		{"padded as ps and wc do", row("5", "  40388", "    12"), 1, ""},
		{"nothing available", row("5", "", ""), 1, ""},
		{"fraction of a second", row("5.25", "1", "2"), 1, ""},
		{"torn end", seedRow + seedRow[:len(seedRow)-1], 1, "line 2: torn: the log ends without a newline; skipped"},
		{"torn and repaired", seedRow + seedRow[:44] + tornMark + "\n" + seedRow, 2, "line 2: torn: a later writer found it without its newline; skipped"},
		{"torn and glued", seedRow[:44] + seedRow + seedRow, 1, `line 1: rss_kb "4038Mon Oct 20 16:57:24 BST 2008" is not a number; skipped`},
		{"too few cells", "Mon\t5\t6\n", 0, "line 1: has 3 of the 4 columns date, epoch, rss, connections; skipped"},
		{"no epoch", row("", "1", "2"), 0, `line 1: epoch "" is not a number; skipped`},
		{"milliseconds", row("1224518244000", "1", "2"), 0, `line 1: epoch "1224518244000" is too large; skipped`},
		{"overflow", row("5", "99999999999999999999", "2"), 0, `line 1: rss_kb "99999999999999999999" is too large; skipped`},
		{"negative", row("5", "-1", "2"), 0, `line 1: rss_kb "-1" is not a number; skipped`},
		{"exponent", row("5", "1e3", "2"), 0, `line 1: rss_kb "1e3" is not a number; skipped`},
		{"half a connection", row("5", "1", "2.5"), 0, `line 1: conns "2.5" is not a number; skipped`},
		{"backwards", row("9", "1", "2") + row("5", "1", "2") + row("6", "1", "2"), 3, "line 2: time goes back by 4 s"},
		{"binary", "\x7fELF\x02\x01\x00\x00\t\x00\n\xff\xfe\t\t\t\n", 0,
			`line 1: epoch "\x00" is not a number; skipped; line 2: epoch "" is not a number; skipped`},
		{"long line", strings.Repeat("x", 3*maxLine) + "\n" + seedRow, 1, "line 1: longer than 65536 bytes, no row; skipped"},
		{"long last line", seedRow + strings.Repeat("x", 3*maxLine), 1, "line 2: longer than 65536 bytes, no row; skipped"},
		{"extra cells without header", "Mon\t5\t6\t7\tx\ty\n", 1, ""},
		{"unknown column", "# columns: date epoch rss_kb conns mood fds\nMon\t5\t6\t7\tgood\t8\n", 1, ""},
		{"bad cell behind the seed's", "# columns: date epoch rss_kb conns fds\nMon\t5\t6\t7\tmany\n", 0, `line 2: fds "many" is not a number; skipped`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(strings.NewReader(tt.log))
			rows := readAll(t, r)
			var warnings []string
			skipped := 0
			for _, w := range r.Warnings() {
				warnings = append(warnings, w.String())
				if w.Skipped {
					skipped++
				}
			}
			if got := strings.Join(warnings, "; "); len(rows) != tt.rows || got != tt.warnings {
				t.Errorf("%d rows, warnings %q\nwant %d rows, warnings %q", len(rows), got, tt.rows, tt.warnings)
			}
			if skipped != r.Skipped() || len(warnings) != r.Warned() {
				t.Errorf("Skipped() = %d, Warned() = %d, but the warnings are %q", r.Skipped(), r.Warned(), warnings)
			}
		})
	}
}

func TestReaderFollowsTheColumnsLine(t *testing.T) {
	log := "# columns: date epoch rss_kb conns threads mood fds\t5\t6\nMon\t5\t6\t7\t8\tgood\t9\n" +
		"# columns: date epoch rss_kb conns fds\nMon\t5\t6\t7\t10\n" +
		"# columns: conns rss_kb epoch date\nMon\t5\t6\t7\t10\n"
	rows := readAll(t, NewReader(strings.NewReader(log)))
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	if rows[0].Threads != 8 || rows[0].FDs != 9 {
		t.Errorf("first layout: %+v", rows[0])
	}
	if rows[1].Threads >= 0 || rows[1].FDs != 10 {
		t.Errorf("second layout: %+v", rows[1])
	}
	if rows[2].Time.Unix() != 5 || rows[2].RSS != 6 || rows[2].Conns != 7 {
		t.Errorf("a header moved the seed's columns: %+v", rows[2])
	}
}

func TestReaderKeepsAHundredWarnings(t *testing.T) {
	r := NewReader(strings.NewReader(strings.Repeat("nonsense\n", 1000)))
	readAll(t, r)
	if len(r.Warnings()) != maxWarnings || r.Skipped() != 1000 || r.Warned() != 1000 {
		t.Errorf("kept %d of %d, skipped %d", len(r.Warnings()), r.Warned(), r.Skipped())
	}
}

// A row must be readable as soon as its line has arrived: soak reads a live log.
func TestReaderDoesNotWaitForMore(t *testing.T) {
	pr, pw := io.Pipe()
	defer pr.Close()
	go pw.Write([]byte(seedRow)) // and never closes
	var s Sample
	if err := NewReader(pr).Read(&s); err != nil || s.RSS != 40388 {
		t.Fatalf("got %+v, %v", s, err)
	}
}

func TestReaderDoesNotAllocatePerRow(t *testing.T) {
	log := strings.Repeat(seedRow, 1000)
	var s Sample
	allocs := testing.AllocsPerRun(10, func() {
		r := NewReader(strings.NewReader(log))
		for r.Read(&s) == nil {
		}
	})
	if allocs > 10 {
		t.Errorf("%v allocations for 1000 rows", allocs)
	}
}

func FuzzReader(f *testing.F) {
	seed, err := os.ReadFile("testdata/seed.log")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("# columns: date epoch rss_kb conns elapsed_s fds\tx\nMon\t5\t6\t7\t0.001\t\n"))
	f.Add([]byte("Mon\t1224518244.123456789123\t\t\nMon\t12\t3" + tornMark + "\nMon\t12\t3\t4"))
	f.Fuzz(func(t *testing.T, log []byte) {
		r := NewReader(bytes.NewReader(log))
		rows := readAll(t, r)
		if lines := bytes.Count(log, []byte("\n")) + 1; len(rows)+r.Skipped() > lines {
			t.Fatalf("%d rows and %d skipped of %d lines", len(rows), r.Skipped(), lines)
		}
		// What was read can be written, and reads back as the same.
		var out bytes.Buffer
		w := NewWriter(&out)
		if err := w.Header("fuzz"); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			rows[i].truncate()
			if err := w.Write(&rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		again := NewReader(&out)
		got := readAll(t, again)
		if again.Skipped() != 0 || len(got) != len(rows) {
			t.Fatalf("wrote %d rows, read %d: %v", len(rows), len(got), again.Warnings())
		}
		for i := range got {
			if got[i] != rows[i] {
				t.Fatalf("row %d was %+v, reads %+v", i, rows[i], got[i])
			}
		}
	})
}

// truncate brings s to the precision that the log keeps.
func (s *Sample) truncate() {
	s.Time = time.Unix(s.Time.Unix(), 0)
	for _, d := range []*time.Duration{&s.Elapsed, &s.CPU} {
		if *d >= 0 {
			*d = d.Truncate(time.Millisecond)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	const rows = 100_000
	var log bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&log, "Mon Oct 20 16:57:24 BST 2008\t%d\t%d\t%d\n", 1224518244+i, 40388+i, i%10000)
	}
	b.SetBytes(int64(log.Len()))
	for b.Loop() {
		r := NewReader(bytes.NewReader(log.Bytes()))
		var s Sample
		n := 0
		for r.Read(&s) == nil {
			n++
		}
		if n != rows {
			b.Fatalf("%d rows", n)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/rows*1000, "ms/million")
}
