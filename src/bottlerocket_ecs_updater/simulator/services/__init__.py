"""The smaller services: EC2, Auto Scaling, CloudWatch, S3, and the SSM documents."""
