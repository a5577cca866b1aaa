package main

import (
	"github.com/spf13/pflag"

	"cometctl/internal/bearer"
)

// addTokenFlag adds the flag of commands that speak to an admin listener.
func addTokenFlag(f *pflag.FlagSet, file *string) {
	f.StringVar(file, "token-file", "", "`file` whose first line is the token that the server asks for (serve --admin-token-file)")
}

// authorization is the value of the field that carries the token of a file; nothing without a file. An error is wrong usage.
func authorization(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	tokens, err := bearer.Read(file)
	if err != nil {
		return "", usageErrorf("--token-file %w", err)
	}
	return tokens.Header(), nil
}
