// Command pki makes the test bed's certificates: a JSON list of requests on stdin, PEM files in the
// folder that is its only argument. Python's standard library can't sign, and one process that makes
// them all costs milliseconds where a certificate tool per file costs half a second.
//
// It always writes ca.{crt,key} (a fresh authority) and sa.{key,pub} (the token signing pair).
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// request describes one certificate; Server false makes it a client certificate.
type request struct {
	Name         string   `json:"name"`
	CommonName   string   `json:"common_name"`
	Organization []string `json:"organization"`
	DNS          []string `json:"dns"`
	IPs          []net.IP `json:"ips"`
	Server       bool     `json:"server"`
}

const lifetime = 10 * 365 * 24 * time.Hour

func main() {
	if len(os.Args) != 2 {
		log.Fatal("pki: usage: pki FOLDER < requests.json")
	}
	folder := os.Args[1]
	var requests []request
	check(json.NewDecoder(os.Stdin).Decode(&requests))

	authorityKey := newKey()
	authority := template("conch-testbed")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	authority = sign(authority, authority, authorityKey.Public(), authorityKey)
	write(folder, "ca.crt", "CERTIFICATE", authority.Raw, 0o644)
	writeKey(folder, "ca.key", authorityKey)

	tokens := newKey()
	writeKey(folder, "sa.key", tokens)
	public, err := x509.MarshalPKIXPublicKey(tokens.Public())
	check(err)
	write(folder, "sa.pub", "PUBLIC KEY", public, 0o644)

	for _, r := range requests {
		key := newKey()
		leaf := template(r.CommonName)
		leaf.Subject.Organization, leaf.DNSNames, leaf.IPAddresses = r.Organization, r.DNS, r.IPs
		leaf.KeyUsage = x509.KeyUsageDigitalSignature
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if r.Server {
			leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}
		signed := sign(leaf, authority, key.Public(), authorityKey)
		write(folder, r.Name+".crt", "CERTIFICATE", signed.Raw, 0o644)
		writeKey(folder, r.Name+".key", key)
	}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func template(commonName string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	check(err)
	// An hour back, for a clock that is set back between making and use.
	start := time.Now().Add(-time.Hour)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName},
		NotBefore: start, NotAfter: start.Add(lifetime),
	}
}

func sign(leaf, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	raw, err := x509.CreateCertificate(rand.Reader, leaf, parent, public, signer)
	check(err)
	signed, err := x509.ParseCertificate(raw)
	check(err)
	return signed
}

func writeKey(folder, name string, key *ecdsa.PrivateKey) {
	raw, err := x509.MarshalECPrivateKey(key)
	check(err)
	write(folder, name, "EC PRIVATE KEY", raw, 0o600)
}

func write(folder, name, kind string, raw []byte, mode os.FileMode) {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
	check(os.WriteFile(filepath.Join(folder, name), block, mode))
}

func check(err error) {
	if err != nil {
		log.Fatalf("pki: %v", err)
	}
}
