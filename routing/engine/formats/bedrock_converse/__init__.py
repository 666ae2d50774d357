"""Converse of AWS Bedrock's runtime, https://docs.aws.amazon.com/bedrock/latest/APIReference/: upstreams only."""
