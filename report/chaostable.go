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

// chaosWidth is the width in characters of what ChaosTable writes.
const chaosWidth = 100

// ChaosTable writes a run with faults for people: how soon each was known and mended, what became of the messages, when those were due that
// did not arrive, the verdict and its reasons. It keeps within 100 columns.
func ChaosTable(w io.Writer, c Chaos) error {
	times, bins := [][]string{}, [][]string{}
	var windows strings.Builder
	for _, s := range c.Slots {
		if s.Skipped != "" {
			times = append(times, []string{s.Name, "skipped", "", "", ""})
			continue
		}
		times = append(times, []string{s.Name, s.Target, optional(s.DetectMS, wholeMillis), optional(s.RecoverMS, wholeMillis), s.DetectedBy})
		bins = append(bins, s.Bins.row(s.Name))
		for _, win := range s.Windows {
			wrapTo(&windows, chaosWidth, "  -", "   ", s.windowText(win))
		}
	}
	if err := plainTable(w, []string{"fault", "hit", "detected", "recovered", "first sign"}, "llrrl", times); err != nil {
		return err
	}
	fmt.Fprintln(w)
	header := []string{"fault", "due", "delivered", "offline", "dropped", "gone", "overrun", "unpubl.", "unsent", "pending", "lost"}
	if err := plainTable(w, header, "lrrrrrrrrrr", bins); err != nil {
		return err
	}
	if windows.Len() > 0 {
		fmt.Fprintf(w, "\nnot arrived, by due time from the fault:\n%s", windows.String())
	}
	var b strings.Builder
	if c.Promises != nil {
		b.WriteString("\nconditions under which the run fails:\n" + c.Promises.Table())
	}
	fmt.Fprintf(&b, "\nverdict: %s\n", c.Verdict)
	for _, reason := range c.Reasons {
		wrapTo(&b, chaosWidth, "  -", "   ", reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (b Bins) row(name string) []string {
	row := []string{name}
	for _, n := range []int64{b.Due, b.Delivered, b.Offline, b.Dropped, b.Gone, b.Overrun, b.Unpublished, b.Unsent, b.Pending, b.Lost} {
		row = append(row, group(n))
	}
	return row
}

// plainTable writes rows under a header. align has a letter for each column: l or r.
func plainTable(w io.Writer, header []string, align string, rows [][]string) error {
	var sides tw.Alignment
	for _, side := range align {
		sides = append(sides, map[rune]tw.Align{'l': tw.AlignLeft, 'r': tw.AlignRight}[side])
	}
	t := tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbols(tw.StyleLight),
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.Lines{ShowHeaderLine: tw.On}},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithAlignment(sides),
	)
	t.Header(header)
	if err := t.Bulk(rows); err != nil {
		return err
	}
	return t.Render()
}

func wholeMillis(x float64) string { return group(int64(math.Round(x))) + " ms" }
