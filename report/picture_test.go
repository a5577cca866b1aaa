package report

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden pictures and tables anew")

// The golden pictures are looked at by people when they change: go test ./report -update, then look.
func TestGoldenPictures(t *testing.T) {
	seed := loadFile(t, "testdata/seed.log", 1)
	epoll, goroutine := loadFile(t, "testdata/epoll.log", 1), loadFile(t, "testdata/goroutine.log", 1)
	big := &Series{Name: "big", Mem: []Point{{0, 2e6}, {1440, 38e6}}, Conns: []Point{{0, 0}, {600, 1e6}, {1440, 1e6}}}
	for _, c := range []struct {
		name    string
		picture Picture
		series  []*Series
	}{
		{"seed", Picture{Title: "Mem usage with 10k active connections, 1000 msg/sec"}, []*Series{seed}},
		{"own", Picture{}, []*Series{epoll}},
		{"connections", Picture{Height: 450, Connections: true}, []*Series{epoll}},
		{"overlay", Picture{Width: 800, Height: 600, Connections: true}, []*Series{epoll, goroutine}},
		{"million", Picture{Height: 450, Connections: true}, []*Series{big}},
		{"point", Picture{Width: 300, Height: 200}, []*Series{{Mem: []Point{{0, 40388}}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.picture.Write(&b, PNG, c.series...); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", c.name+".golden.png")
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if n := differing(t, decode(t, b.Bytes()), decode(t, want)); n > 0 {
				t.Errorf("%d pixels differ from %s; go test ./report -update, and look at it", n, golden)
			}
		})
	}
}

func decode(t *testing.T, b []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// differing counts pixels that differ by more than rounding: other processors fuse multiplications and additions.
func differing(t *testing.T, a, b image.Image) int {
	t.Helper()
	if a.Bounds() != b.Bounds() {
		t.Fatalf("size %v, want %v", a.Bounds(), b.Bounds())
	}
	n := 0
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			ar, ag, ab, _ := a.At(x, y).RGBA()
			br, bg, bb, _ := b.At(x, y).RGBA()
			for _, d := range [...]int{int(ar) - int(br), int(ag) - int(bg), int(ab) - int(bb)} {
				if max(d, -d) > 8<<8 {
					n++
					break
				}
			}
		}
	}
	return n
}

func TestPictureSizeIsExact(t *testing.T) {
	s := loadFile(t, "testdata/seed.log", 1)
	for _, size := range [][2]int{{0, 0}, {500, 300}, {501, 299}, {200, 120}, {1023, 767}, {333, 777}} {
		var b bytes.Buffer
		if err := (Picture{Width: size[0], Height: size[1]}).Write(&b, PNG, s); err != nil {
			t.Fatal(err)
		}
		cfg, err := png.DecodeConfig(&b)
		if err != nil {
			t.Fatal(err)
		}
		want := size
		if want[0] == 0 {
			want = [2]int{500, 300}
		}
		if cfg.Width != want[0] || cfg.Height != want[1] {
			t.Errorf("asked for %v, got %dx%d", want, cfg.Width, cfg.Height)
		}
	}
	for _, p := range []Picture{{Width: 199}, {Height: 119}, {Height: 239, Connections: true}, {Width: 8001}, {Width: -1}} {
		if err := p.Write(io.Discard, PNG, s); err == nil {
			t.Errorf("%+v was drawn, want an error that names its size", p)
		}
	}
}

// A peak of one row in a million reaches the same height in the picture as it does alone.
func TestPeakIsDrawn(t *testing.T) {
	pts := make([]Point, 100_000)
	for i := range pts {
		pts[i] = Point{float64(i) / 60, 50_000}
	}
	pts[70_001].Y = 90_000
	flat := &Series{Mem: []Point{pts[0], pts[70_000], pts[70_001], pts[70_002], pts[len(pts)-1]}}
	var all, few bytes.Buffer
	if err := (Picture{}).Write(&all, PNG, &Series{Mem: pts}); err != nil {
		t.Fatal(err)
	}
	if err := (Picture{}).Write(&few, PNG, flat); err != nil {
		t.Fatal(err)
	}
	got, want := topOfLine(decode(t, all.Bytes())), topOfLine(decode(t, few.Bytes()))
	if got != want || got.Y > 100 {
		t.Errorf("the line's highest pixel is %v among all points, and %v among the five that matter", got, want)
	}
}

// topOfLine finds the highest pixel that is more blue than red by far: the first series'.
func topOfLine(img image.Image) image.Point {
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			if r, _, b, _ := img.At(x, y).RGBA(); b > r+64<<8 {
				return image.Pt(x, y)
			}
		}
	}
	return image.Point{}
}

func TestSVGAndPDF(t *testing.T) {
	s := loadFile(t, "testdata/seed.log", 1)
	var svg, pdf bytes.Buffer
	if err := (Picture{Title: `<&" usage`}).Write(&svg, SVG, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`width="375pt" height="225pt"`, "&lt;&amp;", "Minutes Elapsed", "Mem (KB)", "Liberation Sans,Arial,"} {
		if !strings.Contains(svg.String(), want) {
			t.Errorf("the SVG lacks %q", want)
		}
	}
	if err := (Picture{}).Write(&pdf, PDF, s); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(pdf.Bytes(), []byte("%PDF-")) {
		t.Errorf("the PDF begins with %q", pdf.Bytes()[:8])
	}
}

// Texts and numbers of series that nobody foresaw are drawn somehow, and end nothing.
func TestOddTexts(t *testing.T) {
	var many []*Series
	for i := range 30 {
		many = append(many, &Series{Name: strings.Repeat("long name ", i), Mem: []Point{{0, float64(i)}, {1, 5}}})
	}
	for _, title := range []string{"\xff\xfe", "内存使用情况 10k", "two\nlines", strings.Repeat("wide ", 100), "\x00\x1b[31m", "<svg/>&"} {
		for _, f := range []Format{PNG, SVG, PDF} {
			for _, p := range []Picture{{Width: 200, Height: 120}, {Height: 240, Connections: true}} {
				p.Title = title
				if err := p.Write(io.Discard, f, many...); err != nil {
					t.Errorf("%q as %s: %v", title, f, err)
				}
			}
		}
	}
}

func TestFormatOf(t *testing.T) {
	for file, want := range map[string]Format{"a.png": PNG, "b/c.SVG": SVG, "x.log.pdf": PDF} {
		if got, err := FormatOf(file); got != want || err != nil {
			t.Errorf("FormatOf(%q) is %q, %v; want %q", file, got, err, want)
		}
	}
	for _, file := range []string{"a", "a.gif", "png", ""} {
		if _, err := FormatOf(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("FormatOf(%q) gives %v, want an error that names it", file, err)
		}
	}
}

func TestSaveIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.png")
	if err := os.WriteFile(file, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := loadFile(t, "testdata/seed.log", 1)
	if err := (Picture{Width: -1}).Save(file, s); err == nil {
		t.Fatal("a picture of negative width was saved")
	}
	if b, _ := os.ReadFile(file); string(b) != "before" {
		t.Error("a failed Save has changed the file")
	}
	if err := (Picture{}).Save(file, s); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); !bytes.HasPrefix(b, []byte("\x89PNG")) {
		t.Error("Save has not written the file")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("Save left %v behind", left)
	}
	nowhere := filepath.Join(dir, "nowhere", "a.png")
	if err := (Picture{}).Save(nowhere, s); err == nil || !strings.Contains(err.Error(), nowhere+":") {
		t.Errorf("Save into a missing folder does not name the file that was asked for: %v", err)
	}
}

func TestTitle(t *testing.T) {
	one := &Series{Conns: []Point{{0, 1}, {1, 10001}}}
	for want, got := range map[string]string{
		"mine": Picture{Title: "mine"}.title([]*Series{one}),
		"Mem usage with up to 10,001 active connections": Picture{}.title([]*Series{one}),
		"Mem usage": Picture{}.title([]*Series{one, one}),
	} {
		if got != want {
			t.Errorf("title %q, want %q", got, want)
		}
	}
}

func BenchmarkDrawNoise(b *testing.B) {
	s := &Series{Mem: noise(rand.New(rand.NewPCG(1, 1)), maxPoints)}
	for b.Loop() {
		if err := (Picture{}).Write(io.Discard, PNG, s); err != nil {
			b.Fatal(err)
		}
	}
}
