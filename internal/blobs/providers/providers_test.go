package providers

import (
	"testing"

	"gocloud.dev/blob"
)

func TestSchemes(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"s3", "gs", "azblob"} {
		if !blob.DefaultURLMux().ValidBucketScheme(scheme) {
			t.Errorf("%s:// is not known", scheme)
		}
	}
}
