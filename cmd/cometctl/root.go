package main

import (
	"github.com/spf13/cobra"
)

// How to add a command: write cmd/cometctl/NAME.go with
//
//	func newNameCmd(s streams) *cobra.Command
//
// and add its one line to the list in commands below, under its group (a line that
// is commented out waits for its file: take the slashes off, touch nothing else).
// The command keeps to these rules:
//
//   - `Use`, `Short`, `Example` are filled in, and it has RunE, never Run.
//   - Flags go into the package's Config; RunE checks what only it can check
//     (usageErrorf), calls the package once with cmd.Context(), prints the result.
//   - It prints to s.out and s.err, never to os.Stdout. Data on out, all else on err.
//   - It returns errors and prints none. See exit.go for their codes.
//   - The script testdata/script/NAME.txtar tries it, bad input included.
func commands(s streams) []commandGroup {
	return []commandGroup{
		{"soak", "Everything at once:", []*cobra.Command{
			newSoakCmd(s),
			newChaosCmd(s),
			newDoctorCmd(s),
		}},
		{"pieces", "The pieces:", []*cobra.Command{
			newServeCmd(s),
			newServeWorkerCmd(s),
			newFloodCmd(s),
			newMsggenCmd(s),
			newSendCmd(s),
		}},
		{"memory", "The memory log and its picture:", []*cobra.Command{
			newMemlogCmd(s),
			newPlotCmd(s),
		}},
	}
}

// commandGroup is a paragraph of the root command's help.
type commandGroup struct {
	id, title string
	commands  []*cobra.Command
}

// newRootCmd builds the tree of all commands. It calls began when a command has
// passed all of cobra's checks and its own code begins.
func newRootCmd(s streams, began func()) *cobra.Command {
	root := &cobra.Command{
		Use:   "cometctl",
		Short: "Hold very many connections, and know what they cost",
		Long: `cometctl opens and holds very many long-lived connections, feeds them messages,
watches what each costs in user and kernel memory, and says which messages were
lost or late. It brings the comet server to do it with, and works on others too.

Exit codes: 0 good, 1 failed, 2 wrong usage, 3 verdict failed, 4 inconclusive,
130 interrupted. The first Ctrl-C stops gently and still reports, the second quits.`,
		Example: `  # 10,000 connections, 1000 messages a second, a minute of traffic, and a verdict
  cometctl soak

  # the same by hand, each in a shell of its own
  cometctl serve
  cometctl flood 'http://127.0.0.1:8000/test/{1..10000}'
  cometctl msggen --rate 1000
  cometctl memlog --interval 1s
  cometctl plot mochimem.log`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(flagError)
	for _, g := range commands(s) {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			c.RunE = beginning(c.RunE, began)
			root.AddCommand(c)
		}
	}
	finishBuiltins(root)
	return root
}

// finishBuiltins makes cobra's own commands keep our rule that an unknown command
// is wrong usage: as they come, `help nope` and `completion nope` exit with 0.
func finishBuiltins(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				_, _, err := root.Find(args)
				return err
			}
		case "completion":
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

// beginning returns runE with a call of began in front.
func beginning(runE func(*cobra.Command, []string) error, began func()) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		began()
		return runE(cmd, args)
	}
}
