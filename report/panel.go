package report

import (
	"image/color"
	"math"
	"sort"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// lineColors tell series apart, for the colour-blind too: the palette of Okabe and Ito without its yellow, which is too pale
// for a line on white (jfly.uni-koeln.de/color).
var lineColors = [...]color.RGBA{
	{0, 114, 178, 255},   // blue
	{213, 94, 0, 255},    // vermilion
	{0, 158, 115, 255},   // bluish green
	{204, 121, 167, 255}, // reddish purple
	{230, 159, 0, 255},   // orange
	{86, 180, 233, 255},  // sky blue
	{0, 0, 0, 255},
}

var (
	inkColor  = color.RGBA{34, 34, 34, 255}
	gridColor = color.RGBA{226, 226, 226, 255}
)

// style holds the sizes that grow with the picture.
type style struct {
	scale              float64 // 1 at the default size
	title, label, tick text.Style
	line               vg.Length
}

func newStyle(width, height int) style {
	scale := math.Sqrt(min(float64(width)/DefaultWidth, float64(height)/DefaultHeight))
	scale = min(max(scale, 0.8), 3)
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	of := func(points float64) text.Style {
		return text.Style{Color: inkColor, Font: font.From(sans, vg.Points(points*scale)), Handler: plot.DefaultTextHandler}
	}
	return style{scale: scale, title: of(10.5), label: of(9), tick: of(8), line: vg.Points(1.1 * scale)}
}

// series draws s in the colour of its number; where there are more series than colours, the next round is dashed.
func (st style) series(i int) draw.LineStyle {
	ls := draw.LineStyle{Color: lineColors[i%len(lineColors)], Width: st.line}
	if round := i / len(lineColors); round > 0 {
		ls.Dashes = []vg.Length{vg.Points(float64(2 + 4*round)), vg.Points(3)}
	}
	return ls
}

// fit shortens a text from its end until it is no wider than width.
func fit(sty text.Style, s string, width vg.Length) string {
	if sty.Width(s) <= width {
		return s
	}
	r := []rune(s)
	n := sort.Search(len(r), func(n int) bool { return sty.Width(string(r[:n+1])+"…") > width })
	return string(r[:n]) + "…"
}

// drawTitle centres the title at the top and returns the canvas below it.
func (st style) drawTitle(c draw.Canvas, title string) draw.Canvas {
	sty := st.title
	sty.XAlign, sty.YAlign = draw.XCenter, draw.YTop
	c.FillText(sty, vg.Point{X: c.Center().X, Y: c.Max.Y}, fit(sty, title, c.Max.X-c.Min.X))
	c.Max.Y -= sty.FontExtents().Height + 6*pixel
	return c
}

// drawLegend puts the names of the series in centred rows, where they hide nothing, and returns the canvas below. What does
// not fit a third of the canvas is left out.
func (st style) drawLegend(c draw.Canvas, series []*Series) draw.Canvas {
	const thumb, gap = 20 * pixel, 6 * pixel
	sty := st.tick
	sty.YAlign = draw.YCenter
	names := make([]string, len(series))
	entry := func(i int) vg.Length { return thumb + gap + sty.Width(names[i]) }
	full := c.Max.X - c.Min.X
	for i, s := range series {
		names[i] = fit(sty, s.Name, full-thumb-gap)
	}
	floor := c.Max.Y - (c.Max.Y-c.Min.Y)/3
	for i := 0; i < len(series) && c.Max.Y > floor; {
		j, w := i+1, entry(i)
		for ; j < len(series) && w+3*gap+entry(j) <= full; j++ {
			w += 3*gap + entry(j)
		}
		x, y := c.Min.X+(full-w)/2, c.Max.Y-sty.FontExtents().Height/2
		for ; i < j; i++ {
			ls := st.series(i)
			ls.Width *= 1.5
			c.StrokeLine2(ls, x, snap(y), x+thumb, snap(y))
			c.FillText(sty, vg.Point{X: x + thumb + gap, Y: y}, names[i])
			x += entry(i) + 3*gap
		}
		c.Max.Y -= sty.FontExtents().Height + 2*pixel
	}
	c.Max.Y -= 4 * pixel
	return c
}

// panel is one pair of axes. Gonum places their texts; grid, border and curves are ours, on whole pixels.
type panel struct {
	*plot.Plot
	time axis
}

func (st style) newPanel(label string, x, y axis, curves []curve) panel {
	p := panel{plot.New(), x}
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Padding = 3 * pixel // between the tick labels and the border
		a.LineStyle.Width, a.Tick.LineStyle.Width = 0, 0
		a.Tick.Label.Font, a.Tick.Label.Color = st.tick.Font, inkColor
		a.Label.TextStyle.Font, a.Label.TextStyle.Color = st.label.Font, inkColor
		a.Label.Padding = 3 * pixel
	}
	p.X.Min, p.X.Max, p.X.Tick.Marker = x.min, x.max, x.bare()
	p.Y.Min, p.Y.Max, p.Y.Tick.Marker = y.min, y.max, y.ticks
	p.Y.Label.Text = label
	p.Add(grid{})
	for _, c := range curves {
		p.Add(c)
	}
	p.Add(border{})
	return p
}

// showTime gives the panel the texts of the time axis; only the lowest panel has them.
func (p panel) showTime() {
	p.X.Tick.Marker = p.time.ticks
	p.X.Label.Text = "Minutes Elapsed"
}

// snap moves a coordinate to the middle of its pixel, where a line of one pixel is sharp.
func snap(v vg.Length) vg.Length {
	return (vg.Length(math.Floor(float64(v/pixel))) + 0.5) * pixel
}

// grid draws a pale line at each tick.
type grid struct{}

func (grid) Plot(c draw.Canvas, p *plot.Plot) {
	ls := draw.LineStyle{Color: gridColor, Width: pixel}
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		x := snap(c.X(p.X.Norm(t.Value)))
		c.StrokeLine2(ls, x, snap(c.Min.Y), x, snap(c.Max.Y))
	}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		y := snap(c.Y(p.Y.Norm(t.Value)))
		c.StrokeLine2(ls, snap(c.Min.X), y, snap(c.Max.X), y)
	}
}

// border draws the frame and its ticks, inwards from all sides as gnuplot does.
type border struct{}

func (border) Plot(c draw.Canvas, p *plot.Plot) {
	const tick = 4 * pixel
	ls := draw.LineStyle{Color: inkColor, Width: pixel}
	x0, x1, y0, y1 := snap(c.Min.X), snap(c.Max.X), snap(c.Min.Y), snap(c.Max.Y)
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		x := snap(c.X(p.X.Norm(t.Value)))
		c.StrokeLine2(ls, x, y0, x, y0+tick)
		c.StrokeLine2(ls, x, y1, x, y1-tick)
	}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		y := snap(c.Y(p.Y.Norm(t.Value)))
		c.StrokeLine2(ls, x0, y, x0+tick, y)
		c.StrokeLine2(ls, x1, y, x1-tick, y)
	}
	for _, l := range [][4]vg.Length{{x0, y0, x1, y0}, {x0, y1, x1, y1}, {x0, y0, x0, y1}, {x1, y0, x1, y1}} {
		c.StrokeLine2(ls, l[0], l[1], l[2], l[3])
	}
}

// strokePoints is how many points are stroked at once: 970 ms became 20 for a noisy log at the default size.
const strokePoints = 64

// curve is one series in one panel; its only point, if it has no more, is a dot.
type curve struct {
	points []Point
	style  draw.LineStyle
}

func (cv curve) Plot(c draw.Canvas, p *plot.Plot) {
	line := make([]vg.Point, len(cv.points))
	for i, pt := range cv.points {
		line[i] = vg.Point{X: c.X(p.X.Norm(pt.X)), Y: c.Y(p.Y.Norm(pt.Y))}
	}
	if len(line) == 1 {
		c.DrawGlyph(draw.GlyphStyle{Color: cv.style.Color, Radius: 2 * cv.style.Width, Shape: draw.CircleGlyph{}}, line[0])
		return
	}
	// The rasteriser's work grows with the square of the points in one stroke. Pieces overlap by a segment, so that the
	// joint between them is drawn as one.
	for len(line) > strokePoints {
		c.StrokeLines(cv.style, line[:strokePoints])
		line = line[strokePoints-2:]
	}
	c.StrokeLines(cv.style, line)
}
