package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// recipes is where the pages are.
const recipes = "../../docs/recipes"

// soakLine finds the commands of a page: indented, and going on where a line ends with a backslash. Variables may be set in front.
var soakLine = regexp.MustCompile(`(?m)^ {4}(?:[A-Z_]+=\S+ )*cometctl (soak(?:.*\\\n)*.*)$`)

// Every command line of the recipes is one that soak, flood and msggen take.
func TestRecipes(t *testing.T) {
	pages, err := filepath.Glob(recipes + "/*.md")
	if err != nil || len(pages) < 7 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		lines := soakLine.FindAllStringSubmatch(string(text), -1)
		if len(lines) == 0 && filepath.Base(page) != "README.md" {
			t.Errorf("%s has no command line of soak", page)
		}
		for _, line := range lines {
			words, err := splitWords(strings.ReplaceAll(line[1], "\\\n", " "))
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if err := checkSoakLine(words[1:]); err != nil {
				t.Errorf("%s: %v: %v", page, words, err)
			}
		}
	}
}

// checkSoakLine checks a command line as soak does before it looks at the machine.
func checkSoakLine(args []string) error {
	var o soakOptions
	f := pflag.NewFlagSet("soak", pflag.ContinueOnError)
	o.add(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := o.prepare(f); err != nil || o.Foreign == nil {
		return err
	}
	return vetPiece(append([]string{"msggen", "--to", o.Foreign.To, "--ids", strconv.Itoa(o.Conns)}, o.MsggenOptions...))
}

// A line that is wrong is found.
func TestCheckSoakLine(t *testing.T) {
	for line, want := range map[string]string{
		"--rate 1000":   "",
		"--nosuch 1":    "unknown flag",
		"--server none": "whose memory",
		"--exec x --port 1 --urls http://127.0.0.1:1/{1..9} --to 'POST http://127.0.0.1:1/{id}'":     "",
		"--exec x --port 1 --urls http://127.0.0.1:1/{1..9} --to 'POST http://127.0.0.1:1/{nobody}'": "nobody",
		"--exec x --port 1 --urls http://127.0.0.1:1/{1..9 --to 'POST http://127.0.0.1:1/{id}'":      "--urls",
	} {
		words, err := splitWords(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkSoakLine(words); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// The server of the recipe for net/http is a module of its own, that nothing else builds.
func TestRecipeNetHTTP(t *testing.T) {
	cmd := exec.Command("go", "vet", ".")
	cmd.Dir = filepath.Join(recipes, "nethttp")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
