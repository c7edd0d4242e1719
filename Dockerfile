# The course in a container, with the tested versions of everything:
#   docker build -t deep-vision .
#   docker run --rm -p 127.0.0.1:8888:8888 -v deep-vision:/home/learner/course/work deep-vision
# It prints the address to open. Your notebooks stay in the volume "deep-vision".
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 learner && install -d -o learner -g learner /home/learner/course/work
WORKDIR /home/learner/course

COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

COPY --chown=learner:learner . .
# In a container only an address of its own can be reached from outside.
RUN pip install --no-cache-dir --no-deps -e . \
    && install -d /usr/local/etc/jupyter \
    && echo '{"ServerApp": {"ip": "0.0.0.0", "open_browser": false}}' > /usr/local/etc/jupyter/jupyter_server_config.json

USER 1000
EXPOSE 8888
VOLUME /home/learner/course/work
CMD ["course", "lab"]
