// Package providers has package blobs know the object stores of those who offer them:
// s3://, gs:// and azblob://. It is apart because their drivers are large, and tests do
// without.
package providers

import (
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)
