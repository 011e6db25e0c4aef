package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestCertificatesVerifyAndNameTheirSubject(t *testing.T) {
	authority, ca, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(Subject{
		Name: "system:node:testbed", Groups: []string{"system:nodes"},
		Hosts: []string{"localhost"}, IPs: []netip.Addr{netip.MustParseAddr("10.213.77.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		for _, host := range []string{"localhost", "10.213.77.1"} {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("usage %v, host %s: %v", usage, host, err)
			}
		}
	}
	if cert.Subject.CommonName != "system:node:testbed" || cert.Subject.Organization[0] != "system:nodes" {
		t.Errorf("subject %v", cert.Subject)
	}
}

func TestKeysAreForTheOwnerOnly(t *testing.T) {
	_, ca, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "ca")
	if err := ca.Write(base); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(base + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
}
