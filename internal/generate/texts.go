package generate

// What people write and choose.
var (
	sources  = list("fair, website, referral, campaign, cold call, partner, newsletter, walk-in")
	seasons  = list("spring, summer, autumn, winter")
	consents = list("form on the website, card from the fair, by phone, signed contract")
	titles   = list("Dr., Prof., Mag., Ing., Dipl.-Ing., MBA")
	offices  = list("info, office, contact, sales, hello")
	jobs     = list("Head of purchasing, Managing director, Buyer, Office manager, Engineer, Accountant, Head of logistics, Assistant, Architect, Owner")
	moves    = list("the portfolio was split, moved to another region, asked for somebody else, holiday cover, the desk was reorganised, speaks the language")
	becoming = list("signed the contract, first order, paid the deposit, came back")
	leaving  = list("cancelled, no order for a year, moved to a competitor, contract ended")
	endings  = list("closed the business, duplicate record, asked not to be contacted, insolvent, moved abroad, passed away")
	titlesOf = list("Send the offer, Call back, Prepare the contract, Send the price list, Arrange a visit, Check the invoice, Ask for a reference, Renew the agreement")
	outcomes = list("Sent by e-mail, Done by phone, They will think about it, Signed, Not interested any more, Postponed by a month")
)

// notes are what is noted about clients, by language; where there are none, in English.
var notes = map[string][]string{
	"en": {
		"Wants a **call** in May, in the morning", "Prefers e-mail; does not answer the phone",
		"Asked for the price list again.\n\n- [x] sent it\n- [ ] call back", "Met at the fair, interested in a larger order",
		"Complained about the late delivery; promised a discount of 5 %", "Their budget is decided in autumn",
	},
	"de": {
		"Wünscht einen **Rückruf** im Mai, vormittags", "Bitte nur per E-Mail, geht nicht ans Telefon",
		"Hat nach der neuen Preisliste gefragt", "Auf der Messe getroffen, überlegt größere Bestellung", "Rechnung März fehlt noch",
	},
	"fr": {"Souhaite être **rappelé** en mai, le matin", "Préfère le courriel", "A demandé le tarif à nouveau", "Rencontré au salon, commande à prévoir"},
	"es": {"Quiere una **llamada** en mayo, por la mañana", "Prefiere correo electrónico", "Pidió la lista de precios otra vez", "Nos conocimos en la feria"},
	"pl": {"Prosi o **telefon** w maju, rano", "Woli e-mail", "Pytał o nowy cennik", "Spotkany na targach, większe zamówienie"},
	"tr": {"Mayıs ayında **aranmak** istiyor", "E-postayı tercih ediyor", "Fiyat listesini tekrar istedi"},
	"bg": {"Иска **обаждане** през май, сутрин", "Предпочита имейл", "Пита за новата ценова листа"},
	"uk": {"Просить **зателефонувати** у травні", "Надає перевагу електронній пошті", "Запитував про новий прайс"},
	"el": {"Θέλει **τηλεφώνημα** τον Μάιο", "Προτιμά το ηλεκτρονικό ταχυδρομείο"},
	"ar": {"يريد **اتصالاً** في شهر مايو", "يفضل البريد الإلكتروني"},
	"ja": {"5月に**電話**を希望", "メールでの連絡を希望", "価格表をもう一度送付"},
	"zh": {"希望五月份**来电**", "更喜欢电子邮件", "再次索取价目表"},
}

// agents are the programs that commands came by.
var agents = []string{
	"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
	"annals-integration/2.1",
}
