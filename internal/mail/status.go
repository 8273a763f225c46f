package mail

import (
	"fmt"
	"regexp"
	"strings"
)

// brief says nothing that the server did: it may quote the message.
func (r *refusal) brief() string {
	if status := enhanced.FindString(r.text); status != "" {
		return fmt.Sprintf("%s: %d %s", r.step, r.code, status)
	}
	return fmt.Sprintf("%s: %d", r.step, r.code)
}

// meaning is brief with what the status stands for, for people.
func (r *refusal) meaning() string {
	_, detail, _ := strings.Cut(enhanced.FindString(r.text), ".")
	subject, _, _ := strings.Cut(detail, ".")
	for _, status := range [...]string{detail, subject} {
		if words := meanings[status]; words != "" {
			return r.brief() + " (" + words + ")"
		}
	}
	return r.brief()
}

// enhanced is a status of RFC 3463.
var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

// meanings are those of subjects, and of some details, of RFC 3463 §3 and its registry.
var meanings = map[string]string{
	"1": "something about the address", "1.1": "there is no such mailbox", "1.2": "there is no such mail system", "1.3": "the address is malformed",
	"1.6": "the mailbox has moved", "1.10": "the domain takes no mail",
	"2": "something about the mailbox", "2.1": "the mailbox is disabled", "2.2": "the mailbox is full", "2.3": "the message is too long for the mailbox",
	"3": "the mail system does not take it", "3.4": "the message is too big for the mail system",
	"4": "the network or the way there", "4.1": "nobody answers there", "4.7": "it took too long",
	"5": "the mail protocol",
	"6": "the content cannot be passed on",
	"7": "a policy", "7.1": "refused by a policy of theirs", "7.26": "the sender is not authenticated",
}
