package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// tableWidth is the width in characters that the table and its reasons keep within.
const tableWidth = 80

// fewConns is below how many connections the memory of one says little: the code that the first of them run is read into
// memory then, half a megabyte or more of it.
const fewConns = 2000

// unknown stands in the table for a number that could not be had.
const unknown = "-"

// Table writes a Summary for people: what was asked beside what was measured, then the verdict and its reasons, then what
// must be known to read the figures right. It keeps within 80 columns.
func Table(w io.Writer, s Summary) error {
	t := tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.Lines{ShowHeaderLine: tw.On}},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithTrimSpace(tw.Off), // indented rows belong to the one above
		tablewriter.WithAlignment(tw.Alignment{tw.AlignLeft, tw.AlignRight, tw.AlignRight}),
	)
	t.Header("", "asked", "measured")
	if err := t.Bulk(rowsOf(s)); err != nil {
		return err
	}
	if err := t.Render(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n"+verdictText(s))
	return err
}

// rowsOf returns the table's rows: a label, what was asked, what was measured.
func rowsOf(s Summary) [][]string {
	c, m, g, l := s.Conns, s.Memory, s.Messages, s.LatencyMS
	rate := "as fast as it goes"
	if s.Rate.Asked > 0 {
		rate = decimal(s.Rate.Asked)
	}
	rows := [][]string{
		{"connections open at once", group(c.Asked), number(c.Peak)},
		{"  failed to open", "0", number(c.Failed)},
		{"  ended early", "0", number(c.ClosedEarly)},
		{"memory per connection, user", "", each(m.UserPerConn)},
		{"  kernel, whole machine's growth", "", each(m.KernelPerConn)},
		{"memory of the server, empty", "", size(m.BaseRSS)},
		{"  idle, all connections open", "", size(m.IdleRSS)},
		{"  after the traffic", "", size(m.EndRSS)},
		{"  peak", "", size(m.PeakRSS)},
	}
	if m.severalProcesses(s.Nodes, s.Server) {
		rows = append(rows, [][]string{
			{"  its processes", "", number(m.Processes)},
			{"  shared pages counted once, empty", "", size(m.BasePSS)},
			{"    idle, all connections open", "", size(m.IdlePSS)},
			{"    after the traffic", "", size(m.EndPSS)},
			{"    peak", "", size(m.PeakPSS)},
		}...)
	}
	rows = append(rows, [][]string{
		{"  growth during the traffic", "", growth(m.SlopePerHour)},
		{"processors that the server took", "", optional(s.ServerCPU, processors)},
		{"seconds of traffic", decimal(s.DurationS.Asked), optional(s.DurationS.Achieved, decimal)},
		{"messages per second", rate, optional(s.Rate.Achieved, decimal)},
		{"messages sent", "", number(g.Sent)},
	}...)
	if !s.keepsNoLedger() {
		rows = append(rows, []string{"  delivered", number(g.Sent), number(g.Delivered)})
	}
	rows = append(rows, [][]string{
		{"  received", number(g.Sent), number(g.Received)},
		{"  missing", "0", number(g.Missing)},
		{"  duplicated", "0", number(g.Duplicated)},
		{"  reordered", "", number(g.Reordered)},
		{"  corrupt", "0", number(g.Corrupt)},
	}...)
	if !s.keepsNoLedger() {
		rows = append(rows, [][]string{
			{"  offline", "0", number(g.Offline)},
			{"  dropped", "0", number(g.Dropped)},
			{"  gone", "0", number(g.Gone)},
		}...)
	}
	if s.Nodes > 1 {
		rows = append(rows, [][]string{
			{"  lost between nodes", "0", number(g.Lost)},
			{"  overrun", "0", number(g.Overrun)},
			{"  unpublished", "0", number(g.Unpublished)},
		}...)
	}
	return append(rows, [][]string{
		{"latency from due to received, p50", "", optional(l.P50, millis)},
		{"  p90", "", optional(l.P90, millis)},
		{"  p99", "", optional(l.P99, millis)},
		{"  p99.9", "", optional(l.P999, millis)},
		{"  max", "", optional(l.Max, millis)},
		{"of it the generator's lag, p99", "", optional(s.LagMS.P99, millis)},
		{"  the server's service, p99", "", optional(s.ServiceMS.P99, millis)},
	}...)
}

// verdictText is the verdict and, as a list wrapped to the table's width, its reasons.
func verdictText(s Summary) string {
	var b strings.Builder
	if s.Promises != nil {
		b.WriteString("conditions under which the run fails:\n" + s.Promises.Table() + "\n")
	}
	fmt.Fprintf(&b, "verdict: %s\n", s.Verdict)
	for _, reason := range s.Reasons {
		wrap(&b, "  -", "   ", reason)
	}
	if s.keepsNoLedger() {
		wrap(&b, "\nnote:", "     ", foreignNote(s.Server))
	}
	if s.Memory.UserPerConn != nil && s.Conns.Peak != nil && *s.Conns.Peak < fewConns {
		wrap(&b, "\nnote:", "     ", fmt.Sprintf("with fewer than %s, the memory per connection is mostly code that was touched for the "+
			"first time (user), and whatever else the whole machine did (kernel).", count(fewConns, "connection")))
	}
	return b.String()
}

// wrap writes text within the table's width, behind first and, on the lines that follow, behind rest.
func wrap(b *strings.Builder, first, rest, text string) { wrapTo(b, tableWidth, first, rest, text) }

// wrapTo is wrap for any width.
func wrapTo(b *strings.Builder, width int, first, rest, text string) {
	line := first
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = rest
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

func optional(p *float64, format func(float64) string) string {
	if p == nil {
		return unknown
	}
	return format(*p)
}

func number(p *int64) string {
	if p == nil {
		return unknown
	}
	return group(*p)
}

func size(p *int64) string {
	if p == nil {
		return unknown
	}
	return Bytes(float64(*p))
}

func each(p *float64) string { return optional(p, Bytes) }

func growth(p *float64) string {
	return optional(p, func(x float64) string {
		sign := "+"
		if x < 0 {
			sign = "" // Bytes writes it
		}
		return sign + Bytes(x) + "/h"
	})
}

func processors(x float64) string { return fmt.Sprintf("%.2f", x) }

func millis(x float64) string { return fmt.Sprintf("%.2f ms", x) }

// Bytes writes a number of bytes for people, in units of 1024: "184 B", "3.9 KB", "91 MB".
func Bytes(n float64) string {
	unit := 0
	units := [...]string{"B", "KB", "MB", "GB", "TB"}
	for math.Abs(n) >= 999.5 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	if unit > 0 && math.Abs(n) < 9.95 {
		return fmt.Sprintf("%.1f %s", n, units[unit])
	}
	return fmt.Sprintf("%.0f %s", n, units[unit])
}
