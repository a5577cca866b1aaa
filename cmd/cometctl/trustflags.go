package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"cometctl/internal/clienttls"
)

// trustOptions are the flags that say whom a client trusts and who it is, over TLS. All commands that dial https:// have them.
type trustOptions struct {
	insecure      bool
	ca, cert, key string
}

func (o *trustOptions) add(f *pflag.FlagSet) {
	f.BoolVar(&o.insecure, "insecure", false, "over TLS, take any certificate for good")
	f.StringVar(&o.ca, "ca", "", "PEM `file` of the authorities that servers are trusted by over TLS (default the system's)")
	f.StringVar(&o.cert, "cert", "", "PEM `file` of our certificate for servers that want one, with --key")
	f.StringVar(&o.key, "key", "", "PEM `file` of our certificate's key")
}

// given tells whether any of the flags has a value.
func (o trustOptions) given() bool { return o != trustOptions{} }

// trust reads the files and judges them. An error names the flag.
func (o trustOptions) trust() (t clienttls.Trust, err error) {
	t.Insecure = o.insecure
	if (o.cert == "") != (o.key == "") {
		return t, fmt.Errorf("--cert and --key go together; give both")
	}
	for _, f := range []struct {
		flag, name string
		text       *[]byte
	}{{"ca", o.ca, &t.CA}, {"cert", o.cert, &t.Cert}, {"key", o.key, &t.Key}} {
		if f.name == "" {
			continue
		}
		if *f.text, err = os.ReadFile(f.name); err != nil {
			return t, fmt.Errorf("--%s %w", f.flag, err)
		}
	}
	if _, err := t.Config(); err != nil {
		return t, fmt.Errorf("%s %w", o.flags(err), err)
	}
	return t, nil
}

// flags is what an error of Config is about, with the files' names.
func (o trustOptions) flags(err error) string {
	switch flag := clienttls.Flag(err); flag {
	case "--ca":
		return "--ca " + o.ca + ":"
	case "--cert, --key:":
		return fmt.Sprintf("--cert %s, --key %s:", o.cert, o.key)
	default:
		return flag
	}
}
