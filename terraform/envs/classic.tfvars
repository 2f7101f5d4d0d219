# The names and sizes of the classic assignment: make deploy ENV=classic DEPLOYMENT=<your id>
names = {
  bucket         = "<deployment>-in-bucket"
  request_queue  = "<deployment>-req-queue"
  response_queue = "<deployment>-resp-queue"
}
web     = { type = "t3.micro" }
workers = { max = 15, warm = 15, type = "t3.micro", volume_gib = 8 }
