package eventschema

import (
	"annals/domain/accessed"
	"annals/domain/action"
	"annals/domain/apikey"
	"annals/domain/call"
	"annals/domain/client"
	"annals/domain/defaultview"
	"annals/domain/desk"
	"annals/domain/document"
	"annals/domain/employee"
	"annals/domain/erasure"
	"annals/domain/favourite"
	fields "annals/domain/field"
	"annals/domain/imported"
	"annals/domain/inbox"
	"annals/domain/message"
	"annals/domain/note"
	"annals/domain/portal"
	"annals/domain/project"
	"annals/domain/record"
	"annals/domain/request"
	"annals/domain/retention"
	"annals/domain/role"
	"annals/domain/tag"
	"annals/domain/template"
	"annals/domain/view"
	"annals/domain/webhook"
)

// catalogue is every event type, and every version it was ever stored in. The
// n-th entry reads version n; the last is today's. A name is its stream's
// category, a dot, and what happened.
var catalogue = map[string][]version{
	"access.recorded":             {now[accessed.Recorded]()},
	"action.added":                {now[action.Added]()},
	"action.changed":              {now[action.Changed]()},
	"action.deleted":              {now[action.Deleted]()},
	"action.done":                 {now[action.Done]()},
	"action.fell_due":             {now[action.FellDue]()},
	"action.reminded":             {now[action.Reminded]()},
	"action.reopened":             {now[action.Reopened]()},
	"apikey.created":              {now[apikey.Created]()},
	"apikey.revoked":              {now[apikey.Revoked]()},
	"call.deleted":                {now[call.Deleted]()},
	"call.edited":                 {now[call.Edited]()},
	"call.logged":                 {now[call.Logged]()},
	"client.deactivated":          {now[client.Deactivated]()},
	"client.edited":               {was(clientEditedV1.v2), now[client.Edited]()},
	"client.erased":               {now[client.Erased]()},
	"client.held":                 {now[client.Held]()},
	"client.reactivated":          {now[client.Reactivated]()},
	"client.reassigned":           {now[client.Reassigned]()},
	"client.registered":           {was(clientRegisteredV1.v2), now[client.Registered]()},
	"client.released":             {now[client.Released]()},
	"client.retagged":             {now[client.Retagged]()},
	"client.status_changed":       {was(clientStatusChangedV1.v2), now[client.StatusChanged]()},
	"defaultview.changed":         {now[defaultview.Changed]()},
	"desk.created":                {now[desk.Created]()},
	"document.added":              {now[document.Added]()},
	"document.deleted":            {now[document.Deleted]()},
	"document.renamed":            {now[document.Renamed]()},
	"document.version_added":      {now[document.VersionAdded]()},
	"employee.assigned":           {now[employee.Assigned]()},
	"employee.credential_changed": {now[employee.CredentialChanged]()},
	"employee.deactivated":        {now[employee.Deactivated]()},
	"employee.edited":             {now[employee.Edited]()},
	"employee.reactivated":        {now[employee.Reactivated]()},
	"employee.registered":         {now[employee.Registered]()},
	"employee.roles_changed":      {now[employee.RolesChanged]()},
	"erasure.carried_out":         {now[erasure.CarriedOut]()},
	"erasure.cleaned":             {now[erasure.Cleaned]()},
	"favourite.starred":           {now[favourite.Starred]()},
	"favourite.unstarred":         {now[favourite.Unstarred]()},
	"field.changed":               {now[fields.Changed]()},
	"field.defined":               {now[fields.Defined]()},
	"field.restored":              {now[fields.Restored]()},
	"field.retired":               {now[fields.Retired]()},
	"import.finished":             {now[imported.Finished]()},
	"inbox.preferences_changed":   {now[inbox.PreferencesChanged]()},
	"inbox.read":                  {now[inbox.Read]()},
	"key.created":                 {now[KeyCreated]()},
	"key.master_retired":          {now[MasterRetired]()},
	"key.rewrapped":               {now[KeyRewrapped]()},
	"message.bounced":             {now[message.Bounced]()},
	"message.composed":            {now[message.Composed]()},
	"message.failed":              {now[message.Failed]()},
	"message.logged":              {now[message.Logged]()},
	"message.sent":                {now[message.Sent]()},
	"note.added":                  {now[note.Added]()},
	"note.deleted":                {now[note.Deleted]()},
	"note.edited":                 {now[note.Edited]()},
	"note.pinned":                 {now[note.Pinned]()},
	"note.unpinned":               {now[note.Unpinned]()},
	"portal.access_granted":       {now[portal.AccessGranted]()},
	"portal.access_revoked":       {now[portal.AccessRevoked]()},
	"portal.override_cleared":     {now[portal.OverrideCleared]()},
	"portal.signed_in":            {now[portal.SignedIn]()},
	"project.created":             {now[project.Created]()},
	"project.transitions_changed": {now[project.TransitionsChanged]()},
	"record.added":                {now[record.Added]()},
	"record.removed":              {now[record.Removed]()},
	"record.updated":              {now[record.Updated]()},
	"request.assigned":            {now[request.Assigned]()},
	"request.opened":              {now[request.Opened]()},
	"request.status_changed":      {now[request.StatusChanged]()},
	"retention.changed":           {now[retention.Changed]()},
	"retention.defined":           {now[retention.Defined]()},
	"retention.deleted":           {now[retention.Deleted]()},
	"role.changed":                {now[role.Changed]()},
	"role.created":                {now[role.Created]()},
	"role.deleted":                {now[role.Deleted]()},
	"tag.changed":                 {now[tag.Changed]()},
	"tag.defined":                 {now[tag.Defined]()},
	"tag.merged":                  {now[tag.Merged]()},
	"tag.restored":                {now[tag.Restored]()},
	"tag.retired":                 {now[tag.Retired]()},
	"template.created":            {now[template.Created]()},
	"template.edited":             {now[template.Edited]()},
	"template.restored":           {now[template.Restored]()},
	"template.retired":            {now[template.Retired]()},
	"view.changed":                {now[view.Changed]()},
	"view.created":                {now[view.Created]()},
	"view.deleted":                {now[view.Deleted]()},
	"webhook.changed":             {now[webhook.Changed]()},
	"webhook.created":             {now[webhook.Created]()},
	"webhook.deleted":             {now[webhook.Deleted]()},
	"webhook.disabled":            {now[webhook.Disabled]()},
	"webhook.paused":              {now[webhook.Paused]()},
	"webhook.replayed":            {now[webhook.Replayed]()},
	"webhook.resumed":             {now[webhook.Resumed]()},
	"webhook.rotated":             {now[webhook.Rotated]()},
	"webhook.tested":              {now[webhook.Tested]()},
}
