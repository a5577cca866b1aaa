package main

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"cometctl/internal/broker"
	"cometctl/server/node"
)

// clusterOptions are the flags that make serve a node among others.
type clusterOptions struct {
	name          string
	join          []string // servers outside
	listen        string   // of an embedded server
	cluster       string
	clusterListen string
	routes        []string
	required      bool
	nats          natsOptions
}

func (o *clusterOptions) add(f *pflag.FlagSet) {
	f.StringSliceVar(&o.join, "nats", nil, "join the cluster on these NATS servers, such as nats://a:4222,nats://b:4222")
	f.StringVar(&o.listen, "nats-listen", "", "embed a NATS server that takes clients at this `address`, such as 127.0.0.1:4222; port 0 picks one")
	f.StringVar(&o.cluster, "nats-cluster", "", "`name` of the embedded server's cluster; servers of other names are refused")
	f.StringVar(&o.clusterListen, "nats-cluster-listen", "", "`address` at which the embedded server takes other servers of its cluster (default 127.0.0.1:6222)")
	f.StringSliceVar(&o.routes, "nats-routes", nil, "other servers of the cluster, such as nats://b:6222")
	f.StringVar(&o.name, "node", "", "`name` of this node, its own in the cluster (default made of host, pid and something random)")
	f.BoolVar(&o.required, "nats-required", false, "refuse messages while NATS cannot be reached, instead of reaching this node's sessions only")
	o.nats.add(f)
}

// asked tells whether this server is to be a node.
func (o *clusterOptions) asked() bool { return len(o.join) > 0 || o.listen != "" }

// apply adds to cfg what the flags ask for. An error is wrong usage, and names the flag.
func (o *clusterOptions) apply(cfg *node.Config) error {
	switch {
	case len(o.join) > 0 && o.listen != "":
		return fmt.Errorf("--nats %s and --nats-listen %s: join servers outside, or embed one", strings.Join(o.join, ","), o.listen)
	case !o.asked() && (o.nats.given() || o.name != "" || o.required):
		return fmt.Errorf("--node, --nats-required and who we are to NATS go with --nats or --nats-listen; give one of them")
	case o.listen == "" && (o.cluster != "" || o.clusterListen != "" || len(o.routes) > 0):
		return fmt.Errorf("--nats-cluster, --nats-cluster-listen and --nats-routes are the embedded server's; give --nats-listen")
	case o.cluster == "" && (o.clusterListen != "" || len(o.routes) > 0):
		return fmt.Errorf("--nats-cluster-listen and --nats-routes need the name of the cluster; give --nats-cluster")
	case !o.asked():
		return nil
	}
	cfg.Name, cfg.Server.Required = o.name, o.required
	to, err := o.nats.connect(o.join)
	if err != nil {
		return err
	}
	to.Name = "cometctl serve"
	cfg.NATS = to
	if o.listen == "" {
		return nil
	}
	if to.Creds != "" {
		return fmt.Errorf("--nats-creds %s is for servers outside; the embedded one asks for --nats-user", to.Creds)
	}
	cfg.NATS = broker.ConnectConfig{Name: to.Name}
	cfg.Embed = &broker.EmbedConfig{Listen: o.listen, Cluster: o.cluster, RouteOn: o.clusterListen, Routes: o.routes,
		User: to.User, Password: to.Password, TLS: to.TLS}
	if to.TLS != nil {
		if len(to.TLS.Certificates) == 0 {
			return fmt.Errorf("--nats-ca without a certificate of the embedded server; give --nats-cert and --nats-key")
		}
		cfg.Embed.TLS.ClientCAs = to.TLS.RootCAs
		if to.TLS.RootCAs != nil { // who names authorities wants certificates of them from clients, too
			cfg.Embed.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return nil
}
