package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the state of a log: how many leaves it has, and the hash over them.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Text is what is signed (C2SP tlog-checkpoint).
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

var errCheckpoint = errors.New("it is not a checkpoint")

// parse reads what [Checkpoint.Text] wrote, and nothing else.
func parse(text string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return c, errCheckpoint
	}
	c.Origin = lines[0]
	c.Size, err = strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || err2 != nil || c.Size < 0 || len(root) != tlog.HashSize {
		return c, errCheckpoint
	}
	copy(c.Root[:], root)
	if c.Text() != text {
		return c, errCheckpoint
	}
	return c, nil
}

// Sign signs a checkpoint as the log.
func (c Checkpoint) Sign(s note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.Text()}, s)
}

// Cosigned is a signature of a witness under a checkpoint.
type Cosigned struct {
	Witness string
	At      time.Time
}

// Open reads a checkpoint that log has signed, and says which of the witnesses have
// signed it too. A signature of the log or of a witness that does not hold is an error;
// those of others are not looked at.
func Open(msg []byte, log note.Verifier, witnesses ...Witness) (Checkpoint, []Cosigned, error) {
	known := []note.Verifier{log}
	for _, w := range witnesses {
		known = append(known, w)
	}
	n, err := note.Open(msg, note.VerifierList(known...))
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint: %w", err)
	}
	if !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == log.Name() && s.Hash == log.KeyHash() }) {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint: %s has not signed it", log.Name())
	}
	c, err := parse(n.Text)
	if err != nil {
		return c, nil, fmt.Errorf("checkpoint: %w", err)
	}
	if c.Origin != log.Name() {
		return c, nil, fmt.Errorf("checkpoint: it is of %q, and not of %q", c.Origin, log.Name())
	}
	var by []Cosigned
	for _, s := range n.Sigs {
		for _, w := range witnesses {
			if s.Name == w.Name() && s.Hash == w.KeyHash() {
				raw, err := base64.StdEncoding.DecodeString(s.Base64)
				if err != nil {
					return c, nil, fmt.Errorf("checkpoint: %w", err)
				}
				by = append(by, Cosigned{w.Name(), time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC()}) //nolint:gosec // a signature that holds has it
			}
		}
	}
	return c, by, nil
}

// Signatures is the lines of signatures of a note.
func Signatures(msg []byte) []byte {
	_, lines, _ := strings.Cut(string(msg), "\n\n")
	return []byte(lines)
}

// algCosignature is the type of a key that signs as C2SP tlog-cosignature has it:
// Ed25519 over the checkpoint and the time.
const algCosignature = 4

// Witness verifies the signatures of a witness. It is a [note.Verifier].
type Witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// Name implements [note.Verifier].
func (w Witness) Name() string { return w.name }

// KeyHash implements [note.Verifier].
func (w Witness) KeyHash() uint32 { return w.hash }

// Verify implements [note.Verifier].
func (w Witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(w.key, timed(msg, binary.BigEndian.Uint64(sig)), sig[8:])
}

// String is the key as it is given to others: name+hash+key.
func (w Witness) String() string {
	return fmt.Sprintf("%s+%08x+%s", w.name, w.hash, base64.StdEncoding.EncodeToString(append([]byte{algCosignature}, w.key...)))
}

// ParseWitness reads a witness's public key.
func ParseWitness(s string) (Witness, error) {
	fail := errors.New("it is not the public key of a witness: name+hash+key")
	parts := strings.SplitN(strings.TrimSpace(s), "+", 3)
	if len(parts) != 3 {
		return Witness{}, fail
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algCosignature || !validName(parts[0]) {
		return Witness{}, fail
	}
	w := newWitness(parts[0], raw[1:])
	if fmt.Sprintf("%08x", w.hash) != parts[1] {
		return Witness{}, fail
	}
	return w, nil
}

func validName(name string) bool { return name != "" && !strings.ContainsAny(name, " \t\r\n+") }

func newWitness(name string, key ed25519.PublicKey) Witness {
	sum := sha256.Sum256(slices.Concat([]byte(name), []byte{'\n', algCosignature}, key))
	return Witness{name, binary.BigEndian.Uint32(sum[:]), key}
}

// timed is what a witness signs.
func timed(msg []byte, at uint64) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), msg...)
}

// Cosigner signs as a witness. It is a [note.Signer].
type Cosigner struct {
	Witness
	private ed25519.PrivateKey
	now     func() time.Time
}

// NewCosigner returns a witness that signs with the key made of a seed of
// [ed25519.SeedSize] bytes.
func NewCosigner(name string, seed []byte, now func() time.Time) (*Cosigner, error) {
	if len(seed) != ed25519.SeedSize || !validName(name) {
		return nil, errors.New("a witness needs a name without spaces and +, and a seed of 32 bytes")
	}
	private := ed25519.NewKeyFromSeed(seed)
	return &Cosigner{newWitness(name, private.Public().(ed25519.PublicKey)), private, now}, nil
}

// Sign implements [note.Signer].
func (c *Cosigner) Sign(msg []byte) ([]byte, error) {
	at := uint64(max(c.now().Unix(), 0))
	return append(binary.BigEndian.AppendUint64(nil, at), ed25519.Sign(c.private, timed(msg, at))...), nil
}

// Cosign is the line of signature that the witness adds to a checkpoint of log's.
func (c *Cosigner) Cosign(checkpoint Checkpoint) ([]byte, error) {
	msg, err := note.Sign(&note.Note{Text: checkpoint.Text()}, c)
	if err != nil {
		return nil, err
	}
	return Signatures(msg), nil
}
