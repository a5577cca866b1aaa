package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// noArgs refuses arguments, for a command that has only flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q is one argument too many: %s takes flags only", args[0], cmd.Name())
}

// someArgs refuses a command line without arguments; what says what they are, with an example.
func someArgs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return errors.New("nothing is named: give " + what)
		}
		return nil
	}
}

// oneOf refuses more than one of these flags. It stands among a command's Args, which cobra checks
// when all flags are read; cobra's own groups of flags do the same in words for programmers.
func oneOf(flags ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, _ []string) error {
		var given []string
		for _, name := range flags {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return fmt.Errorf("%s exclude each other; give one of them", strings.Join(given, " and "))
		}
		return nil
	}
}

// flagError says of a flag's bad value what a good one looks like, instead of what a parser thought of it.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	want, ok := map[string]string{
		"bytes":    wantBytes,
		"bool":     "true or false",
		"duration": "a time with its unit, such as 10ms, 60s or 24h",
		"float64":  "a number",
		"int":      "a whole number",
		"intSlice": "a whole number, or several separated by commas",
		"uint64":   "a whole number of 0 or more",
	}[f.Value.Type()]
	if !ok {
		return err
	}
	return fmt.Errorf("invalid argument %q for --%s: give %s", invalid.GetValue(), f.Name, want)
}
