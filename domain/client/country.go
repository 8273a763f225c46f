package client

import (
	"maps"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"

	"annals/domain"
)

// settle brings the two ways to say which country into line: the name as somebody typed
// it, and its code. Whichever is given has the other follow.
func (a *Address) settle(f *domain.Faults, field string, was Address, g given) {
	code := a.CountryCode != "" && g.has(field+".country_code", a.CountryCode)
	switch known := countryOf(a.Country); {
	case *a == was:
	case !code:
		if a.Country != was.Country || a.CountryCode != was.CountryCode {
			a.CountryCode = known
		}
	case !isCountry(a.CountryCode), a.CountryCode == known: // the former has been told
	case a.Country == "", known != "" && !g.has(field+".country", a.Country):
		a.Country = display.Regions(language.English).Name(countries[a.CountryCode])
	case known != "":
		f.Add(domain.Fault(field+".country_code", "contradiction", "is %s, and the country that is named is %s", a.CountryCode, known))
	}
}

// countryForm reads a code of ISO 3166-1 alpha-2.
func countryForm(field, s string) (string, error) {
	code := strings.ToUpper(s)
	if code == "UK" { // reserved for it, and not what it is
		code = "GB"
	}
	if !isCountry(code) {
		return s, domain.Fault(field, "country", "is no code of a country as in ISO 3166-1 alpha-2, as in DE")
	}
	return code, nil
}

// notISO are regions that Unicode takes for countries, and ISO 3166-1 does not, or not any
// more. Kosovo, for which it has no code either, is called XK everywhere.
var notISO = map[string]bool{
	"AC": true, "AN": true, "CP": true, "CQ": true, "CS": true, "DG": true, "EA": true, "EZ": true, "FQ": true, "IC": true,
	"NT": true, "PC": true, "SU": true, "TA": true, "UN": true, "YU": true,
}

// countries are all of ISO 3166-1, by their codes.
var countries = func() map[string]language.Region {
	all := map[string]language.Region{}
	for i := range 26 * 26 {
		code := string([]byte{byte('A' + i/26), byte('A' + i%26)})
		r, err := language.ParseRegion(code)
		if err == nil && r.IsCountry() && r.String() == code && r.Canonicalize() == r && !notISO[code] {
			all[code] = r
		}
	}
	return all
}()

func isCountry(code string) bool { _, ok := countries[code]; return ok }

// countryOf is the code of a country that somebody named: by a code of two or three
// letters, or by its name in English or another large language. It is empty for what is
// not known, and for what could be several.
func countryOf(name string) string {
	if n := len(name); n == 2 || n == 3 {
		if r, err := language.ParseRegion(name); err == nil && isCountry(r.Canonicalize().String()) {
			return r.Canonicalize().String()
		}
	}
	return countryNames()[foldCountry(name)]
}

// countryNames are codes by folded names. An English name means what it does there,
// whatever it means elsewhere; another that means several countries means none.
var countryNames = sync.OnceValue(func() map[string]string {
	english, others := map[string]string{}, map[string]string{}
	for i, l := range []language.Tag{
		language.English, language.German, language.French, language.Spanish, language.Portuguese, language.Italian, language.Dutch,
		language.Polish, language.Czech, language.Slovak, language.Hungarian, language.Romanian, language.Bulgarian, language.Greek, language.Turkish,
		language.Danish, language.Swedish, language.Norwegian, language.Finnish, language.Russian, language.Ukrainian, language.Arabic, language.Hebrew,
		language.Persian, language.Hindi, language.Bengali, language.Indonesian, language.Vietnamese, language.Thai, language.Japanese, language.Korean,
		language.SimplifiedChinese, language.TraditionalChinese,
	} {
		names := others
		if i == 0 {
			names = english
		}
		for code, r := range countries {
			name := foldCountry(display.Regions(l).Name(r))
			if other, ok := names[name]; ok && other != code {
				code = ""
			}
			names[name] = code
		}
	}
	for code, names := range alsoCalled {
		for _, name := range names {
			english[foldCountry(name)] = code
		}
	}
	maps.Copy(others, english)
	delete(others, "")
	return others
})

// foldCountry brings a name into the form by which countries are known: letters only,
// small and without accents.
func foldCountry(name string) string {
	name = strings.ToLower(norm.NFKD.String(name))
	for _, article := range []string{"the ", "la ", "le ", "les ", "l'", "die ", "der "} {
		name = strings.TrimPrefix(name, article)
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return r
	}, name)
}

// alsoCalled are names that people use and Unicode's tables do not have.
var alsoCalled = map[string][]string{
	"AE": {"UAE", "U.A.E.", "Emirates"}, "BA": {"Bosnia", "Bosnia and Herzegovina"}, "BO": {"Plurinational State of Bolivia"}, "BN": {"Brunei Darussalam"},
	"CD": {"DRC", "DR Congo", "Democratic Republic of the Congo"}, "CG": {"Republic of the Congo"}, "CI": {"Ivory Coast", "Cote d'Ivoire"},
	"CN": {"People's Republic of China", "PR China", "Mainland China"}, "CV": {"Cabo Verde"}, "CZ": {"Czech Republic", "Czechia"},
	"DE": {"Federal Republic of Germany", "BRD"}, "FM": {"Micronesia"}, "GB": {"UK", "U.K.", "Great Britain", "Britain", "England", "Scotland", "Wales", "Northern Ireland"},
	"HK": {"Hong Kong"}, "IE": {"Republic of Ireland", "Eire"}, "IR": {"Islamic Republic of Iran"}, "KP": {"DPRK"}, "KR": {"Republic of Korea", "ROK"},
	"LA": {"Lao", "Lao PDR"}, "MD": {"Republic of Moldova"}, "MK": {"Macedonia", "Republic of North Macedonia"}, "MM": {"Burma"}, "MO": {"Macao", "Macau"},
	"NL": {"Holland", "The Netherlands"}, "PS": {"Palestine"}, "RU": {"Russian Federation"}, "SZ": {"Swaziland"}, "SY": {"Syrian Arab Republic"},
	"TL": {"East Timor"}, "TR": {"Turkey", "Türkiye", "Turkiye"}, "TZ": {"United Republic of Tanzania"},
	"US": {"USA", "U.S.", "U.S.A.", "United States of America", "America", "EE.UU.", "VS"}, "VA": {"Vatican", "Holy See"}, "VE": {"Bolivarian Republic of Venezuela"},
	"VN": {"Viet Nam"},
}
