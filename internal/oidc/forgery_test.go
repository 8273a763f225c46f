package oidc

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"annals/domain"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// bare are claims without the hash of the access token, for algorithms that it is not defined for: that is not what
// they are to be refused for.
func bare(claims map[string]any) map[string]any { return without(claims, "at_hash") }

// none is an unsigned token, or one with the signature of another.
func none(alg, signature string, claims map[string]any) string {
	return b64(`{"alg":"`+alg+`","kid":"rsa","typ":"JWT"}`) + "." + b64(marshal(bare(claims))) + "." + signature
}

func publicPEM() []byte {
	der, _ := x509.MarshalPKIXPublicKey(keys().rsa.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// parts of a token: header, payload, signature.
func parts(token string) (header, payload, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

// TestForgeries tries ID tokens that a forger would send, or a provider that is broken. The ones that are good show
// that the others are refused for what is wrong with them.
func TestForgeries(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p, now := open(t, db, f.URL, c), c.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	type set = map[string]any
	// claim is a token by the right key with other claims; nil removes one.
	claim := func(change set) func(set) any {
		return func(claims set) any {
			for name, v := range change {
				claims[name] = v
				if v == nil {
					delete(claims, name)
				}
			}
			return rs256(claims)
		}
	}
	hmac := func(key []byte, kid string) func(set) any {
		return func(claims set) any { return sign(jose.HS256, key, kid, nil, bare(claims)) }
	}
	f.userInfo = set{"sub": "248289761001"}
	other := begin(t, p)
	othersToken := rs256(f.honest(other, now))
	pkix, _ := x509.MarshalPKIXPublicKey(keys().rsa.Public())

	for name, tc := range map[string]struct {
		token func(claims set) any
		want  *domain.Error // nil: accepted
	}{
		"honest":             {claim(nil), nil},
		"honest, ECDSA":      {func(c set) any { return sign(jose.ES256, keys().ec, "ec", nil, c) }, nil},
		"honest, PSS":        {func(c set) any { return sign(jose.PS256, keys().rsa, "rsa", nil, c) }, nil},
		"honest, no key ID":  {func(c set) any { return sign(jose.RS256, keys().rsa, "", nil, c) }, nil},
		"no token":           {func(set) any { return nil }, ErrToken},
		"empty token":        {func(set) any { return "" }, ErrToken},
		"token of no string": {func(set) any { return 1 }, ErrToken},
		"no JWT":             {func(set) any { return "a.b.c" }, ErrToken},
		"encrypted":          {func(set) any { return "a.b.c.d.e" }, ErrToken},
		"too large":          {claim(set{"x": strings.Repeat("x", maxToken)}), ErrToken},

		"wrong issuer":                   {claim(set{"iss": "https://evil.example"}), ErrToken},
		"issuer with a slash":            {claim(set{"iss": f.URL + "/"}), ErrToken},
		"issuer missing":                 {claim(set{"iss": nil}), ErrToken},
		"issuer twice, by case":          {claim(set{"iss": "https://evil.example", "isS": f.URL}), ErrToken},
		"issuer only by another case":    {claim(set{"iss": nil, "ISS": f.URL}), ErrToken},
		"wrong audience":                 {claim(set{"aud": "another"}), ErrToken},
		"audience missing":               {claim(set{"aud": nil}), ErrToken},
		"audience empty":                 {claim(set{"aud": []string{}}), ErrToken},
		"audience that contains ours":    {claim(set{"aud": client + "x"}), ErrToken},
		"audience only by another case":  {claim(set{"aud": nil, "Aud": client}), ErrToken},
		"audience in a list":             {claim(set{"aud": []string{client}}), nil},
		"several audiences":              {claim(set{"aud": []string{client, "another"}}), ErrToken},
		"several, for another":           {claim(set{"aud": []string{client, "another"}, "azp": "another"}), ErrToken},
		"several, for us":                {claim(set{"aud": []string{"another", client}, "azp": client}), nil},
		"for another":                    {claim(set{"azp": "another"}), ErrToken},
		"for nobody":                     {claim(set{"azp": ""}), ErrToken},
		"for a number":                   {claim(set{"azp": 1}), ErrToken},
		"nonce missing":                  {claim(set{"nonce": nil}), ErrToken},
		"nonce empty":                    {claim(set{"nonce": ""}), ErrToken},
		"nonce null":                     {claim(set{"nonce": json.RawMessage("null")}), ErrToken},
		"nonce a number":                 {claim(set{"nonce": 1}), ErrToken},
		"nonce wrong":                    {claim(set{"nonce": "A"}), ErrToken},
		"nonce of another flow":          {claim(set{"nonce": other.nonce()}), ErrToken},
		"nonce only by another case":     {func(c set) any { n := c["nonce"]; return claim(set{"nonce": nil, "NONCE": n})(c) }, ErrToken},
		"token of another flow":          {func(set) any { return othersToken }, ErrToken},
		"access token hash wrong":        {claim(set{"at_hash": atHash("another")}), ErrToken},
		"access token hash empty":        {claim(set{"at_hash": ""}), ErrToken},
		"access token hash not there":    {claim(set{"at_hash": nil}), nil}, // optional in this flow
		"access token hash, other case":  {claim(set{"at_hash": nil, "AT_HASH": atHash("another")}), ErrToken},
		"expired":                        {claim(set{"exp": at(-2 * skew)}), ErrToken},
		"expired just beyond the skew":   {claim(set{"exp": at(-skew)}), ErrToken},
		"expired within the skew":        {claim(set{"exp": at(-skew + time.Second)}), nil},
		"expiry missing":                 {claim(set{"exp": nil}), ErrToken},
		"expiry of no number":            {claim(set{"exp": "tomorrow"}), ErrToken},
		"expiry as a string":             {claim(set{"exp": "99999999999"}), ErrToken},
		"expiry beyond time":             {claim(set{"exp": 1e300}), ErrToken},
		"expiry before time":             {claim(set{"exp": -math.MaxFloat64}), ErrToken},
		"expiry with a fraction":         {claim(set{"exp": float64(at(time.Minute)) + 0.5}), nil},
		"expiry only by another case":    {claim(set{"exp": nil, "EXP": at(time.Minute)}), ErrToken},
		"issued in the future":           {claim(set{"iat": at(2 * skew)}), ErrToken},
		"issued just beyond the skew":    {claim(set{"iat": at(skew + time.Second)}), ErrToken},
		"issued within the skew":         {claim(set{"iat": at(skew)}), nil},
		"issued never":                   {claim(set{"iat": nil}), ErrToken},
		"not before later":               {claim(set{"nbf": at(2 * skew)}), ErrToken},
		"not before within the skew":     {claim(set{"nbf": at(skew)}), nil},
		"not before of no number":        {claim(set{"nbf": "now"}), ErrToken},
		"subject missing":                {claim(set{"sub": nil}), ErrToken},
		"subject empty":                  {claim(set{"sub": ""}), ErrToken},
		"subject a number":               {claim(set{"sub": 1}), ErrToken},
		"subject too long":               {claim(set{"sub": strings.Repeat("x", 256)}), ErrToken},
		"claims are no object":           {func(set) any { return rs256([]byte(`[]`)) }, ErrToken},
		"claims are no JSON":             {func(set) any { return rs256([]byte(`{`)) }, ErrToken},
		"claims are null":                {func(set) any { return rs256([]byte(`null`)) }, ErrToken},
		"claims from elsewhere, no such": {claim(set{"_claim_names": set{"email": "x"}}), ErrToken},

		"alg none":                   {func(c set) any { return none("none", "", c) }, ErrToken},
		"alg none, with a signature": {func(c set) any { _, _, s := parts(rs256(c)); return none("none", s, c) }, ErrToken},
		"alg None":                   {func(c set) any { return none("None", "", c) }, ErrToken},
		"alg NONE":                   {func(c set) any { return none("NONE", "", c) }, ErrToken},
		"alg empty":                  {func(c set) any { return none("", "", c) }, ErrToken},
		"alg unknown":                {func(c set) any { return none("RS1", "", c) }, ErrToken},
		"no signature":               {func(c set) any { return none("RS256", "", c) }, ErrToken},
		"HMAC, public key as PEM":    {hmac(publicPEM(), "rsa"), ErrToken},
		"HMAC, public key as DER":    {hmac(pkix, "rsa"), ErrToken},
		"HMAC, public key's modulus": {hmac(keys().rsa.N.Bytes(), "rsa"), ErrToken},
		"HMAC, public key as JWK":    {hmac([]byte(marshal(f.keys[0])), "rsa"), ErrToken},
		"HMAC, client secret":        {hmac([]byte(secret), ""), ErrToken},
		"HMAC, client secret, HS512": {func(c set) any { return sign(jose.HS512, []byte(secret+secret), "", nil, bare(c)) }, ErrToken},

		"unknown key":                {func(c set) any { return sign(jose.RS256, keys().forgers, "new", nil, c) }, ErrToken},
		"unknown key without ID":     {func(c set) any { return sign(jose.RS256, keys().forgers, "", nil, c) }, ErrToken},
		"forger's key by a known ID": {func(c set) any { return sign(jose.RS256, keys().forgers, "rsa", nil, c) }, ErrToken},
		"a key by the ID of another": {func(c set) any { return sign(jose.RS256, keys().rsa2, "rsa", nil, c) }, ErrToken},
		"a key by an unknown ID":     {func(c set) any { return sign(jose.RS256, keys().rsa, "new", nil, c) }, ErrToken},
		"a key by the ID of ECDSA":   {func(c set) any { return sign(jose.RS256, keys().rsa, "ec", nil, c) }, ErrToken},
		"ID that is a path":          {func(c set) any { return sign(jose.RS256, keys().forgers, "../../dev/null", nil, c) }, ErrToken},
		"forger's key in the header": {func(c set) any {
			return sign(jose.RS256, keys().forgers, "rsa", set{"jwk": jose.JSONWebKey{Key: keys().forgers.Public()}}, c)
		}, ErrToken},
		"forger's key by URL":           {func(c set) any { return sign(jose.RS256, keys().forgers, "x", set{"jku": f.URL + "/forged"}, c) }, ErrToken},
		"an extension that is critical": {func(c set) any { return sign(jose.RS256, keys().rsa, "rsa", set{"crit": []string{"x"}, "x": 1}, c) }, ErrToken},

		"payload exchanged": {func(c set) any {
			h, _, s := parts(rs256(c))
			c["sub"] = "1"
			return h + "." + b64(marshal(c)) + "." + s
		}, ErrToken},
		"header exchanged": {func(c set) any {
			_, p, s := parts(rs256(c))
			return b64(`{"alg":"RS256","kid":"rsa","x":1}`) + "." + p + "." + s
		}, ErrToken},
		"algorithm exchanged": {func(c set) any {
			_, p, s := parts(rs256(c))
			return b64(`{"alg":"PS256","kid":"rsa"}`) + "." + p + "." + s
		}, ErrToken},
		"another's signature": {func(c set) any {
			h, p, _ := parts(rs256(c))
			_, _, s := parts(othersToken)
			return h + "." + p + "." + s
		}, ErrToken},
		"signature cut off": {func(c set) any { return strings.TrimRight(rs256(c)[:len(rs256(c))-4], ".") }, ErrToken},
		"two payloads":      {func(c set) any { h, p, s := parts(rs256(c)); return h + "." + p + p + "." + s }, ErrToken},
		"as flat JSON": {func(c set) any {
			h, p, s := parts(rs256(c))
			return marshal(set{"protected": h, "payload": p, "signature": s})
		}, ErrToken},
		"as JSON with two signatures": {func(c set) any {
			h, p, s := parts(rs256(c))
			return marshal(set{"payload": p, "signatures": []set{{"protected": h, "signature": s}, {"protected": h, "signature": s}}, "x": ".."})
		}, ErrToken},

		"verified by word":         {claim(set{"email_verified": "true"}), nil},
		"verified missing":         {claim(set{"email_verified": nil}), ErrUnverified},
		"verified false":           {claim(set{"email_verified": false}), ErrUnverified},
		"verified false by word":   {claim(set{"email_verified": "false"}), ErrUnverified},
		"verified 1":               {claim(set{"email_verified": 1}), ErrUnverified},
		"verified by another word": {claim(set{"email_verified": "TRUE"}), ErrUnverified},
		"verified null":            {claim(set{"email_verified": json.RawMessage("null")}), ErrUnverified},
		"verified in a list":       {claim(set{"email_verified": []bool{true}}), ErrUnverified},
		"verified, another case":   {claim(set{"email_verified": false, "Email_Verified": true}), ErrUnverified},
		"e-mail missing":           {claim(set{"email": nil}), ErrEmail},
		"e-mail, another case":     {claim(set{"Email": "boss@example.com", "EMAIL": "boss@example.com"}), nil}, // and it is Ann's
		"e-mail of no string":      {claim(set{"email": []string{"ann@example.com"}}), ErrEmail},
		"e-mail of none":           {claim(set{"email": "ann"}), ErrEmail},
		"e-mail of two":            {claim(set{"email": "ann@example.com,boss@example.com"}), ErrEmail},
		"e-mail with a NUL":        {claim(set{"email": "ann\x00@example.com"}), ErrEmail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := begin(t, p)
			f.issue(a, tc.token(f.honest(a, now)))
			a.want(t, p, tc.want)
		})
	}
	t.Cleanup(func() {
		if n := f.times("/forged"); n != 0 {
			t.Error("keys were fetched from where the token said")
		}
	})
}

// TestSharedKeys: a provider that publishes the key of its HMACs gives it to everybody.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	f.keys = []jose.JSONWebKey{{Key: []byte(secret), KeyID: "shared"}, f.keys[0]}
	for _, kid := range []string{"shared", ""} {
		a := begin(t, p)
		f.issue(a, sign(jose.HS256, []byte(secret), kid, nil, bare(f.honest(a, c.Now()))))
		a.want(t, p, ErrToken)
	}
	a := begin(t, p)
	f.issue(a, rs256(f.honest(a, c.Now())))
	a.want(t, p, nil)
}

// TestNames: what a name is, is not worth refusing anybody for.
func TestNames(t *testing.T) {
	t.Parallel()
	f, c, db := newForger(t), newClock(), database(t)
	p := open(t, db, f.URL, c)
	for _, tc := range []struct {
		name any
		want string
	}{
		{nil, ""},
		{1, ""},
		{" Ann\tExample\n", "Ann Example"},
		{strings.Repeat("ä", 150), strings.Repeat("ä", 100)},
		{"x" + strings.Repeat("ä", 150), "x" + strings.Repeat("ä", 99)},
	} {
		a := begin(t, p)
		claims := f.honest(a, c.Now())
		claims["name"] = tc.name
		f.issue(a, rs256(claims))
		if who, err := p.Finish(t.Context(), a.query(), a.Binding); err != nil || who.Name != tc.want {
			t.Errorf("%v: %q, %v", tc.name, who.Name, err)
		}
	}
}
