package report

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Format is a file format of pictures.
type Format string

const (
	PNG Format = "png"
	SVG Format = "svg"
	PDF Format = "pdf"
)

// FormatOf returns the format that a file's extension stands for, in upper or lower case.
func FormatOf(file string) (Format, error) {
	ext := filepath.Ext(file)
	switch f := Format(strings.ToLower(strings.TrimPrefix(ext, "."))); f {
	case PNG, SVG, PDF:
		return f, nil
	}
	return "", fmt.Errorf("%s: no picture format has the extension %q; use .png, .svg or .pdf", file, ext)
}

// The seed's picture has this size, in pixels.
const (
	DefaultWidth  = 500
	DefaultHeight = 300
)

// Sizes of a Picture, in pixels: below the smallest its texts overlap, and the largest takes 256 MB to draw.
const (
	minWidth, minHeight = 200, 120
	maxSide             = 8000
)

// pixel is the side of a pixel of a PNG, and of SVG's and PDF's unit that browsers call pixel.
const pixel = vg.Inch / 96

// Picture draws memory logs over the time since each one's start. Its zero value is the seed's picture: 500x300 pixels, one
// panel, "Minutes Elapsed" to the right and "Mem (KB)" upwards. A log of 1 GB or more is labelled in MB, of 10 GB in GB.
type Picture struct {
	Title         string // empty: made from the number of connections
	Width, Height int    // pixels; zero is 500, 300
	Connections   bool   // a second panel below the first shows established connections
}

// Check tells whether the picture can be drawn at its size.
func (p Picture) Check() error {
	w, h := p.size()
	low := minHeight
	if p.Connections {
		low *= 2
	}
	if w < minWidth || h < low || w > maxSide || h > maxSide {
		return fmt.Errorf("a picture of %dx%d pixels cannot be drawn; want %dx%d to %dx%d",
			w, h, minWidth, low, maxSide, maxSide)
	}
	return nil
}

func (p Picture) size() (w, h int) {
	w, h = p.Width, p.Height
	if w == 0 {
		w = DefaultWidth
	}
	if h == 0 {
		h = DefaultHeight
	}
	return w, h
}

// Write draws the series and writes the picture to w in the given format. Several series get a legend of their names.
func (p Picture) Write(w io.Writer, f Format, series ...*Series) error {
	if err := p.Check(); err != nil {
		return err
	}
	if len(series) == 0 {
		return errors.New("no series to draw")
	}
	width, height := p.size()
	vw, vh := vg.Length(width)*pixel, vg.Length(height)*pixel
	var canvas vg.CanvasWriterTo
	switch f {
	case PNG:
		canvas = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(vw, vh), vgimg.UseDPI(96))}
	case SVG:
		canvas = portableSVG{vgsvg.New(vw, vh)}
	case PDF:
		canvas = vgpdf.New(vw, vh)
	default:
		return fmt.Errorf("unknown picture format %q", f)
	}
	p.draw(draw.New(canvas), series)
	_, err := canvas.WriteTo(w)
	return err
}

// Save draws the series into a file, in the format of its extension. The file appears whole or not at all: whatever fails,
// one that was there before is left as it was.
func (p Picture) Save(file string, series ...*Series) (err error) {
	f, err := FormatOf(file)
	if err != nil {
		return err
	}
	// In the same folder, so that the rename cannot cross file systems; not os.CreateTemp, whose files only the owner may read.
	part := fmt.Sprintf("%s.%d.part", file, os.Getpid())
	w, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
			failed.Path = file // the name that was asked for
		}
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	if err := errors.Join(p.Write(w, f, series...), w.Close()); err != nil {
		return err
	}
	return os.Rename(part, file)
}

// portableSVG names the fonts that have the same metrics as the one that placed the text, for machines without that one.
// Fonts inside the file would make it twenty times as large.
type portableSVG struct{ *vgsvg.Canvas }

func (c portableSVG) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	if _, err := c.Canvas.WriteTo(&b); err != nil {
		return 0, err
	}
	const family = "font-family:Liberation Sans"
	n, err := w.Write(bytes.ReplaceAll(b.Bytes(), []byte(family+";"), []byte(family+",Arial,Helvetica,sans-serif;")))
	return int64(n), err
}

// draw puts title, legend and panels on a canvas of p's size.
func (p Picture) draw(c draw.Canvas, series []*Series) {
	width, height := p.size()
	st := newStyle(width, height)
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, 6*pixel, -14*pixel, 6*pixel, -8*pixel)

	c = st.drawTitle(c, p.title(series))
	if len(series) > 1 {
		c = st.drawLegend(c, series)
	}
	x := timeAxis(series, st.ticks(width, 48))
	if !p.Connections {
		mem := st.memPanel(series, x, width, height)
		mem.showTime()
		mem.Draw(c)
		return
	}
	mem := st.memPanel(series, x, width, height*6/10)
	conns := st.connPanel(series, x, width, height*4/10)
	conns.showTime()
	// Three fifths belong to the memory. Both get the same left and right edge, whatever the widths of their labels.
	split := c.Min.Y + (c.Max.Y-c.Min.Y)*0.4
	upper, lower := c, c
	upper.Min.Y, lower.Max.Y = split, split-10*pixel
	du, dl := mem.DataCanvas(upper), conns.DataCanvas(lower)
	left := max(du.Min.X, dl.Min.X)
	right := min(du.Max.X, dl.Max.X)
	mem.Draw(draw.Crop(upper, left-du.Min.X, right-du.Max.X, 0, 0))
	conns.Draw(draw.Crop(lower, left-dl.Min.X, right-dl.Max.X, 0, 0))
}

// title is the picture's, or one made from the only series' largest number of connections.
func (p Picture) title(series []*Series) string {
	if p.Title != "" {
		return p.Title
	}
	most := 0.0
	for _, pt := range series[0].Conns {
		most = max(most, pt.Y)
	}
	if len(series) > 1 || most == 0 {
		return "Mem usage"
	}
	return "Mem usage with up to " + count(int64(most), "active connection")
}
