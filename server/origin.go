package server

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// anyOrigin is the entry of Config.AllowOrigin that stands for all pages.
const anyOrigin = "*"

// checkOrigins checks AllowOrigin and writes each entry as browsers write an origin (RFC 6454 section 6.2), so that it can be compared.
func (c *Config) checkOrigins() error {
	origins := slices.Clone(c.AllowOrigin) // it is the caller's
	for i, o := range origins {
		if o == anyOrigin {
			if !c.NoAdmin && c.AdminTokenFile == "" {
				return configErrorf(`--allow-origin "*": every page that anybody on this machine opens could use the admin listener; name the pages, or give --admin-token-file`)
			}
			continue
		}
		origin, why := parseOrigin(o)
		if why != "" {
			return configErrorf("--allow-origin %q: %s; give one such as https://example.com, as often as there are some", o, why)
		}
		origins[i] = origin
	}
	c.AllowOrigin = origins
	return nil
}

// parseOrigin is an origin as browsers write it, or why text is none.
func parseOrigin(text string) (origin, why string) {
	const none = "it is no scheme://host[:port]"
	u, err := url.Parse(text)
	switch {
	case text == "null":
		return "", "every page of a file and every sandboxed frame says so"
	case err != nil || u.Scheme == "" || u.Host == "":
		return "", none
	case u.User != nil || u.Path != "" || strings.ContainsAny(text, "?#"):
		return "", "an origin ends with its host or port"
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	if strings.HasPrefix(u.Host, "[") {
		at, err := netip.ParseAddr(host)
		if err != nil || !at.Is6() || at.Zone() != "" {
			return "", none
		}
		host = at.String()
	} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || host == "" {
		return "", none // names in other scripts are written as xn--... by browsers
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host, ""
}

// allowsOrigin tells whether a page of this origin (the Origin field of its request) is one of AllowOrigin. It allocates nothing.
func (c *Config) allowsOrigin(origin []byte) bool {
	for _, o := range c.AllowOrigin {
		if o == string(origin) || o == anyOrigin {
			return true
		}
	}
	return false
}
