package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newSoakCmd(s streams) *cobra.Command {
	return &cobra.Command{
		Use:     "soak",
		Short:   "Run everything against the bundled server, and give a verdict",
		Example: "  cometctl soak",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("not built yet")
		},
	}
}
