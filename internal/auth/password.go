package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"annals/domain"
)

// Parameters of argon2id: OWASP's minimum for passwords (19 MiB, 2 passes, 1
// lane). They are stored with each hash, so that raising them invalidates none.
const (
	memory  = 19 * 1024 // KiB
	passes  = 2
	lanes   = 1
	saltLen = 16
	hashLen = 32
)

// MinPassword is the shortest password taken, in characters (NIST SP 800-63B
// §3.1.1.2 asks for 8); MaxPassword bounds the work, in bytes.
const (
	MinPassword = 8
	MaxPassword = 256
)

// work bounds how many hashes are computed at once, and with it their memory; queue
// how many more may wait, so that a flood of them is told at once to slow down.
var (
	work  = make(chan struct{}, max(2, runtime.NumCPU()))
	queue = make(chan struct{}, cap(work)+64)
)

var errBusy = domain.Errorf(domain.TooMany, "busy", "too many people are signing in at this moment; try again")

func derive(ctx context.Context, password string, salt []byte, m, t uint32, p uint8) ([]byte, error) {
	select {
	case queue <- struct{}{}:
		defer func() { <-queue }()
	default:
		return nil, errBusy
	}
	select {
	case work <- struct{}{}:
		defer func() { <-work }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, t, m, p, hashLen), nil
}

// CheckNewPassword faults what is no password to set: too short or too long, one of
// those that everybody tries first, or one of the person's own addresses.
func CheckNewPassword(field, password string, emails ...string) error {
	if utf8.RuneCountInString(password) < MinPassword || len(password) > MaxPassword {
		return domain.Fault(field, "length", "has to have at least %d characters, and at most %d bytes", MinPassword, MaxPassword)
	}
	plain := emailKey(password)
	if isCommon(plain) {
		return domain.Fault(field, "common", "is among the passwords that are guessed first")
	}
	for _, email := range emails {
		email = emailKey(email)
		if local, _, _ := strings.Cut(email, "@"); email != "" && (plain == email || plain == local) {
			return domain.Fault(field, "own_email", "is the e-mail address that it is for")
		}
	}
	return nil
}

func hashPassword(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", nil
	}
	var salt [saltLen]byte
	rand.Read(salt[:])
	sum, err := derive(ctx, password, salt[:], memory, passes, lanes)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, enc.EncodeToString(salt[:]), enc.EncodeToString(sum)), nil
}

// checkPassword does the same work whether or not there is a hash to check against.
func checkPassword(ctx context.Context, password, hash string) (bool, error) {
	m, t, p := uint32(memory), uint32(passes), uint8(lanes)
	salt, want := make([]byte, saltLen), make([]byte, hashLen)
	known := hash != ""
	if known {
		parts := strings.Split(hash, "$")
		var v int
		if len(parts) != 6 || parts[1] != "argon2id" {
			return false, errors.New("stored password is not argon2id")
		}
		if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &v, &m, &t, &p); err != nil || v != argon2.Version {
			return false, errors.New("stored password has unknown parameters")
		}
		var err, err2 error
		salt, err = base64.RawStdEncoding.DecodeString(parts[4])
		want, err2 = base64.RawStdEncoding.DecodeString(parts[5])
		if err != nil || err2 != nil {
			return false, errors.New("stored password is not base64")
		}
	}
	if len(password) > MaxPassword {
		password, known = "", false
	}
	got, err := derive(ctx, password, salt, m, t, p)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}
