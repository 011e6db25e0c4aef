// Package pki makes the keys and certificates of a cluster. They are made anew
// at every `up` and vanish with `down`.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"time"
)

// validity is longer than any bed lives, clock steps included.
const validity = 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Subject is whom a certificate is for. Kubernetes reads the common name as
// the user and the organisations as the user's groups.
type Subject struct {
	Name   string
	Groups []string
	Hosts  []string     // DNS names it serves
	IPs    []netip.Addr // addresses it serves
}

// Pair is a certificate with its key, both as PEM.
type Pair struct{ Cert, Key []byte }

// NewAuthority makes a certificate authority.
func NewAuthority(name string) (*Authority, Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, Pair{}, err
	}
	template := template(pkix.Name{CommonName: name})
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	authority := &Authority{cert: template, key: key}
	pair, err := authority.sign(template, key)
	if err != nil {
		return nil, Pair{}, fmt.Errorf("make the authority %s: %w", name, err)
	}
	block, _ := pem.Decode(pair.Cert)
	authority.cert, err = x509.ParseCertificate(block.Bytes)
	return authority, pair, err
}

// Issue makes a key and a certificate for both ends of TLS.
func (a *Authority) Issue(subject Subject) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template := template(pkix.Name{CommonName: subject.Name, Organization: subject.Groups})
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	template.DNSNames = subject.Hosts
	for _, ip := range subject.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	pair, err := a.sign(template, key)
	if err != nil {
		return Pair{}, fmt.Errorf("make a certificate for %s: %w", subject.Name, err)
	}
	return pair, nil
}

func template(name pkix.Name) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      name,
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(validity),
	}
}

func (a *Authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, err
	}
	keyPEM, err := privatePEM(key)
	return Pair{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: keyPEM}, err
}

// SigningKey makes the key pair that signs service account tokens.
func SigningKey() (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	private, err = privatePEM(key)
	return private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

func privatePEM(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// Write stores a pair as base.crt and base.key, the key for the owner only.
func (p Pair) Write(base string) error {
	if err := os.WriteFile(base+".crt", p.Cert, 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".key", p.Key, 0o600)
}
