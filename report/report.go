// Package report turns what a run left behind into something a person or a script can use: memory logs into a picture,
// a run's evidence into a Summary with a verdict, and a Summary into a table.
//
// Three roads lead through it, and they share no state:
//
//   - Load reads a memory log into a Series; Picture draws one Series or several as PNG, SVG or PDF. A million rows are first
//     reduced to a few per pixel column, in a way that keeps every peak.
//   - Summarize computes a Summary from Evidence: samples of the server's memory, the boundaries of the run's phases, and
//     the results of flood and msggen. Judge, a pure function, gives the verdict and its reasons.
//   - Table prints a Summary for people, in 80 columns.
//
// Nothing here starts a process, reads a clock, or looks at the machine, so every verdict can be computed again from the
// same evidence. No function keeps what it is handed, and all may be called from any goroutine. Errors are plain: what
// failed and with what value; naming the file is left to the caller who opened it.
//
// This is the only package that imports gonum/plot and tablewriter.
package report
